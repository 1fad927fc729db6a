// Light or dark: the system's choice until the user makes one.

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'berth.theme';
const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };

class Look {
  theme = $state<Theme>('system');

  constructor() {
    const kept = localStorage.getItem(KEY);
    if (kept === 'light' || kept === 'dark') this.choose(kept);
  }

  choose(theme: Theme): void {
    this.theme = theme;
    if (theme === 'system') {
      delete document.documentElement.dataset['theme'];
      localStorage.removeItem(KEY);
    } else {
      document.documentElement.dataset['theme'] = theme;
      localStorage.setItem(KEY, theme);
    }
  }

  next(): void {
    this.choose(NEXT[this.theme]);
  }
}

export const look = new Look();
