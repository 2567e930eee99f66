import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { hue, length, onlyEmoji, seal, segments } from '../static/text.js';

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../internal/markup/testdata/${name}`, import.meta.url), 'utf8'));

for (const { name, text, segments: want } of vectors('links.json')) {
  test(`links: ${name}`, () => {
    const got = segments(text).map((s) => (s.url ? ['', s.url] : [s.text]));
    assert.deepEqual(got, want);
    assert.equal(segments(text).map((s) => s.text).join(''), text);
  });
}

test('an overlong address is left as text', () => {
  assert.ok(segments(`https://example.org/${'a'.repeat(2048)}`).every((s) => !s.url));
});

test('people have the same colour and seal as on the server', () => {
  for (const p of vectors('people.json')) {
    assert.equal(hue(p.id), p.hue, `hue of ${p.id}`);
    assert.equal(seal(p.name), p.seal, `seal of ${p.name}`);
  }
});

test('one to six emoji are big, anything else is not', () => {
  for (const yes of ['🍵', '👍🏽', '👩‍👩‍👧‍👦', '🇨🇳 🇬🇧', '❤️', '1️⃣', '😀😀😀😀😀😀']) assert.ok(onlyEmoji(yes), yes);
  for (const no of ['', ' ', 'a🍵', '😀😀😀😀😀😀😀', '12', '茶', '©', '#']) assert.ok(!onlyEmoji(no), no);
});

test('characters are counted, not code units', () => {
  assert.equal(length('茶🍵a'), 3);
});
