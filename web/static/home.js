// home.js is the front door: the theme, and times that stay true.

import { ago, full } from './i18n.js';
import { settings } from './prefs.js';

const EVERY = 30_000; // ms

function tellTimes() {
  for (const time of document.querySelectorAll('.rooms time')) {
    const at = Date.parse(time.dateTime);
    time.textContent = ago(at);
    time.title = full(at);
  }
}

document.documentElement.dataset.js = '';
settings();
tellTimes();
setInterval(tellTimes, EVERY);
