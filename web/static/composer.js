// composer.js is the box one writes in: sending, drafts, commands, length.

import { t } from './i18n.js';
import { store } from './prefs.js';
import { length } from './text.js';

const MAX = 4000; // characters; the server's own bound is higher
const WARN = 0.9 * MAX;
const ENTER_KEY = 'teahouse.enter'; // set: Enter makes a new line

const $ = (id) => document.getElementById(id);

/**
 * Events: "send" (detail is the text), "command" (detail is {name, rest}),
 * "typing".
 */
export class Composer extends EventTarget {
  #box = $('chat-message-input');
  #button = $('chat-message-submit');
  #key;

  /** room is the canonical name, under which the draft is kept. */
  constructor(room) {
    super();
    this.#key = `teahouse.draft/${room}`;
    const draft = store.get(this.#key);
    if (draft && !this.#box.value) this.#box.value = draft;
    this.#box.addEventListener('input', () => this.#changed());
    this.#box.addEventListener('keydown', (e) => this.#pressed(e));
    $('composer').addEventListener('submit', (e) => {
      e.preventDefault();
      this.send();
      this.focus();
    });
    addEventListener('storage', (e) => this.#elsewhere(e));
    const enter = $('enter-newline');
    enter.checked = store.get(ENTER_KEY) === '1';
    enter.addEventListener('change', () => {
      store.set(ENTER_KEY, enter.checked ? '1' : '');
      this.hint('');
    });
    this.hint('');
    this.#fit();
  }

  /** Whether nothing is written. */
  get empty() { return this.#box.value.trim() === ''; }

  focus() { this.#box.focus(); }

  /** Sends what is written, or says why not. */
  send() {
    const text = this.#box.value;
    if (!text.trim() || length(text) > MAX) return;
    const command = /^[/／](?![/／])(\S*)\s*([^]*)$/.exec(text);
    if (command) {
      const detail = { name: command[1], rest: command[2].trim(), done: false };
      this.#emit('command', detail);
      if (!detail.done) return;
    } else {
      this.#emit('send', text.replace(/^[/／](?=[/／])/, ''));
    }
    this.#box.value = '';
    this.#changed();
  }

  /** Says something below the box until the next key. */
  hint(text) {
    $('composer-note').textContent = text || t(this.#enterIsNewline() ? 'composer.hint.newline' : 'composer.hint');
    $('composer-note').classList.toggle('told', Boolean(text));
  }

  #emit(type, detail) {
    const event = new Event(type);
    event.detail = detail;
    this.dispatchEvent(event);
  }

  #changed() {
    store.set(this.#key, this.#box.value);
    this.hint('');
    this.#fit();
    if (!this.empty) this.#emit('typing');
  }

  #fit() {
    const n = this.#box.value.length < WARN ? 0 : length(this.#box.value);
    this.#button.disabled = n > MAX;
    const counter = $('counter');
    counter.hidden = n < WARN;
    counter.classList.toggle('over', n > MAX);
    counter.textContent = n > MAX ? t('composer.long', { n: n - MAX, max: MAX }) : t('composer.count', { n, max: MAX });
    this.#box.setAttribute('aria-invalid', String(n > MAX));
    // Shrink first: scrollHeight is never less than the height that is set. The
    // form keeps its height meanwhile, or the log would grow and scroll.
    const form = this.#box.parentElement;
    form.style.minHeight = `${form.offsetHeight}px`;
    this.#box.style.height = 'auto';
    this.#box.style.height = `${this.#box.scrollHeight + this.#box.offsetHeight - this.#box.clientHeight}px`;
    form.style.minHeight = '';
  }

  #pressed(e) {
    if (e.key !== 'Enter') return;
    if (e.isComposing || e.keyCode === 229) {
      // The Enter that takes a candidate of an input method. A browser that
      // hands it to us as a plain key must not make a new line of it.
      if (e.keyCode === 13) e.preventDefault();
      return;
    }
    const asked = e.ctrlKey || e.metaKey;
    if (e.shiftKey || e.altKey || (!asked && this.#enterIsNewline())) return;
    e.preventDefault();
    if (!e.repeat) this.send();
  }

  #enterIsNewline() {
    return store.get(ENTER_KEY) === '1' || matchMedia('(hover: none) and (pointer: coarse)').matches;
  }

  /** Another tab has written: take it over unless something else is being written here. */
  #elsewhere(e) {
    if (e.key !== this.#key) return;
    const untouched = this.#box.value === (e.oldValue ?? '');
    if (!untouched && document.hasFocus() && document.activeElement === this.#box) return;
    this.#box.value = e.newValue ?? '';
    this.#fit();
  }
}
