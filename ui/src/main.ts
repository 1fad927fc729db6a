import './look.css';

import { mount } from 'svelte';

import App from './App.svelte';

const target = document.getElementById('window');
if (target === null) throw new Error('the page has no place for the window');

export default mount(App, { target });
