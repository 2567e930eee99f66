// home.js is the front door: the theme, and times that stay true.

import { settings } from './prefs.js';

document.documentElement.dataset.js = '';
settings();
