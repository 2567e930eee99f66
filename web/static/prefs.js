// prefs.js keeps choices: the theme changes at once, by the same cookie that the
// server reads; the language is the form's own business.

const YEAR = 365 * 86400;

/** Storage that never throws: what cannot be kept is not kept. */
export const store = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) {
    try {
      if (value) localStorage.setItem(key, value);
      else localStorage.removeItem(key);
      return true;
    } catch { return false; }
  },
};

function choose(theme) {
  const root = document.documentElement;
  if (theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme;
  document.querySelector('meta[name=color-scheme]').content = theme === 'system' ? 'light dark' : theme;
  const secure = location.protocol === 'https:' ? '; Secure' : '';
  document.cookie = `theme=${theme === 'system' ? '' : theme}; Path=/; SameSite=Lax; Max-Age=${theme === 'system' ? 0 : YEAR}${secure}`;
}

/** Makes a <details> menu close as menus do. */
export function menu(details) {
  document.addEventListener('click', (e) => { if (!details.contains(e.target)) details.open = false; });
  details.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || !details.open) return;
    e.stopPropagation();
    details.open = false;
    details.querySelector('summary').focus();
  });
}

/** Takes over the settings of the page. */
export function settings() {
  const details = document.getElementById('settings');
  menu(details);
  details.querySelector('form').addEventListener('submit', (e) => {
    const chosen = e.submitter;
    if (chosen?.name !== 'theme') return;
    e.preventDefault();
    choose(chosen.value);
    for (const b of details.querySelectorAll('[name=theme]')) b.setAttribute('aria-pressed', String(b === chosen));
  });
}
