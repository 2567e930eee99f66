// text.js finds links and emoji in the text of messages and gives people their
// marks: the same as the server's internal/markup, by the same test vectors.

const MAX_URL = 2048; // bytes
const HUES = 24;

// Characters that cannot be inside an address: white space, quotes, invisible
// characters, Chinese punctuation.
const ENDS = /[\s\p{Cc}\p{Cf}\p{Co}\p{Cs}<>"`\ufffd\u2018-\u201f\u2026\u2014\u3000-\u303f！（），：；？［］｛｝～｡｢｣､]/u;
const SCHEME = /https?:\/\//gi;
const PAIRS = { ')': '(', ']': '[', '}': '{' };

/** Cuts text into [{text, url?}]; the texts put together are the text. */
export function segments(text) {
  const out = [];
  let plain = 0;
  SCHEME.lastIndex = 0;
  for (let found; (found = SCHEME.exec(text));) {
    const start = found.index;
    const link = /[a-z0-9]/i.test(text[start - 1] ?? '') ? '' : linkAt(text, start, found[0].length);
    if (!link) {
      SCHEME.lastIndex = start + 4;
      continue;
    }
    if (start > plain) out.push({ text: text.slice(plain, start) });
    out.push({ text: link, url: link });
    SCHEME.lastIndex = plain = start + link.length;
  }
  if (plain < text.length) out.push({ text: text.slice(plain) });
  return out;
}

function linkAt(text, start, head) {
  const rest = text.slice(start + head, start + head + MAX_URL + 1);
  const end = rest.search(ENDS);
  const body = trimEnd(end < 0 ? rest : rest.slice(0, end));
  const authority = body.split(/[/?#]/, 1)[0];
  if (!/^[\p{L}\p{N}[]/u.test(authority) || /[@\\]/.test(authority)) return '';
  const link = text.slice(start, start + head) + body;
  return new TextEncoder().encode(link).length > MAX_URL ? '' : link;
}

const count = (s, c) => s.split(c).length - 1;

function trimEnd(s) {
  for (; s; s = s.slice(0, -1)) {
    const last = s.at(-1);
    if (PAIRS[last]) {
      if (count(s, last) <= count(s, PAIRS[last])) return s;
    } else if (!'.,;:!?\'*_~|'.includes(last)) {
      return s;
    }
  }
  return s;
}

const EMOJI = /^(?:\s*(?:\p{RI}\p{RI}|[0-9#*]\ufe0f?\u20e3|\p{Extended_Pictographic}(?:\ufe0f|\p{EMod})*(?:\u200d\p{Extended_Pictographic}(?:\ufe0f|\p{EMod})*)*[\u{e0020}-\u{e007f}]*)){1,6}\s*$/u;

/** Whether text is one to six emoji and nothing else. */
export const onlyEmoji = (text) => text.length < 200 && EMOJI.test(text) && !/^[©®™\s]*$/.test(text);

/** The colour of a person, 0 to 23: FNV-1a of the id. */
export function hue(id) {
  let h = 0x811c9dc5;
  for (const b of new TextEncoder().encode(id)) h = Math.imul(h ^ b, 0x01000193);
  return (h >>> 0) % HUES;
}

/** The character on a person's seal. */
export function seal(name) {
  const first = /[\p{L}\p{N}\p{S}]/u.exec(name)?.[0];
  if (!first) return '·';
  const upper = first.toUpperCase();
  return [...upper].length === 1 ? upper : first;
}

/** The number of characters as the server counts them. */
export const length = (text) => [...text].length;
