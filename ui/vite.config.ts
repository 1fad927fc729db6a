import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  clearScreen: false,
  // Fonts and icons stay files: the page's security policy allows no data: fonts.
  build: { target: 'safari16', assetsInlineLimit: 0 },
});
