// reading.js is the log under the hand: moving from message to message by keys,
// going to a message and back, copying several.

import { clock } from './i18n.js';

const $ = (id) => document.getElementById(id);
const typed = (e) => !e.ctrlKey && !e.metaKey && !e.altKey && !e.isComposing;
const FIELDS = 'input, textarea, select, [contenteditable], dialog';

/** Keys of the whole page and of the log. help opens the list of shortcuts. */
export function keys(composer, help) {
  const log = $('chat-log');
  document.addEventListener('keydown', (e) => {
    if (!typed(e) || e.target.closest(FIELDS) || document.querySelector('dialog[open]')) return;
    const inLog = log.contains(e.target);
    if (e.key === '?') {
      e.preventDefault();
      return help();
    }
    if (inLog && move(log, e)) return e.preventDefault();
    if (e.key === 'Enter' && e.target.matches('.message')) return e.target.querySelector('.when').click();
    if (inLog && e.key === 'Escape') return composer.focus();
    // A letter goes into the box, also the first of an input method.
    if (!e.target.closest('button, a, summary') || inLog) {
      if ([...e.key].length === 1 && e.key !== ' ' || e.keyCode === 229) composer.focus();
    }
  });
  $('messages').addEventListener('focusin', (e) => {
    const node = e.target.closest('.message');
    if (!node) return;
    log.querySelector('.message[tabindex="0"]')?.setAttribute('tabindex', '-1');
    node.tabIndex = 0;
  });
}

/** Moves the focus by one message; tells whether the key was for that. */
function move(log, e) {
  const step = { ArrowUp: -1, k: -1, K: -1, ArrowDown: 1, j: 1, J: 1 }[e.key];
  if (!step) return false;
  const all = [...log.querySelectorAll('.message')];
  const at = all.indexOf(document.activeElement.closest?.('.message'));
  const next = at < 0 ? lastVisible(log, all) : all[at + step];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: 'nearest' });
  return true;
}

function lastVisible(log, all) {
  const { bottom } = log.getBoundingClientRect();
  return all.findLast((n) => n.getBoundingClientRect().bottom <= bottom + 1) ?? all.at(-1);
}

/** Addresses of messages: going there without loading the page, Back to where one was. */
export function permalinks(log, path, failed) {
  history.scrollRestoration = 'manual';
  const remember = () => {
    const anchor = log.atBottom ? null : log.anchor();
    history.replaceState(anchor && { seq: anchor.seq, y: anchor.y }, '');
  };
  const visit = async (seq) => {
    try {
      const node = await log.go(seq);
      if (!node) return;
      flash(node);
      node.focus({ preventScroll: true });
    } catch (error) { failed(error); }
  };
  const back = () => {
    const { seq, y } = history.state ?? {};
    const named = Number(location.pathname.slice(path.length));
    const going = seq ? log.go(seq, y) : named ? log.go(named) : log.latest();
    going.catch(failed);
  };
  $('messages').addEventListener('click', (e) => {
    const link = e.target.closest('a.when[href]');
    if (!link || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    remember();
    history.pushState(null, '', link.href);
    visit(Number(link.closest('.message').dataset.seq));
  });
  $('messages').addEventListener('animationend', (e) => e.animationName === 'flash' && e.target.classList.remove('flash'));
  addEventListener('popstate', back);
  addEventListener('pagehide', remember);
  return { visit, back };
}

function flash(node) {
  node.classList.remove('flash');
  void node.offsetWidth; // restarts the animation
  node.classList.add('flash');
}

/** Copying more than one message gives "[10:21] name: text" lines. */
export function copying() {
  $('messages').addEventListener('copy', (e) => {
    const selection = getSelection();
    if (!selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    const lines = [];
    for (const node of document.querySelectorAll('#messages .message')) {
      const text = node.querySelector('.text');
      if (!range.intersectsNode(text)) continue;
      const part = document.createRange();
      part.selectNodeContents(text);
      if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) part.setStart(range.startContainer, range.startOffset);
      if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) part.setEnd(range.endContainer, range.endOffset);
      const said = part.toString();
      if (said) lines.push(`[${clock(Date.parse(node.querySelector('time').dateTime))}] ${node.dataset.name}: ${said}`);
    }
    if (lines.length < 2) return;
    e.preventDefault();
    e.clipboardData.setData('text/plain', lines.join('\n'));
  });
}
