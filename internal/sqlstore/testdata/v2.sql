-- A database of schema version 2, with people, rooms and messages, as that
-- version left it. Frozen: never change this file.

CREATE TABLE migrations (
		version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL);
INSERT INTO migrations VALUES (1, 'log', 1700000000000), (2, 'rooms_by_talk', 1700000000001);

CREATE TABLE settings (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
	id         INTEGER PRIMARY KEY, -- random, public
	name       TEXT NOT NULL,
	guest      INTEGER NOT NULL DEFAULT 1,
	created_at INTEGER NOT NULL
);

CREATE TABLE logins (
	hash       BLOB PRIMARY KEY, -- SHA-256 of the secret
	user_id    INTEGER NOT NULL REFERENCES users (id),
	created_at INTEGER NOT NULL,
	seen_at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rooms (
	id       INTEGER PRIMARY KEY,
	slug     TEXT NOT NULL UNIQUE,
	last_seq INTEGER NOT NULL
, last_at INTEGER NOT NULL DEFAULT 0);

CREATE TABLE messages (
	room_id    INTEGER NOT NULL REFERENCES rooms (id),
	seq        INTEGER NOT NULL,
	author_id  INTEGER NOT NULL REFERENCES users (id),
	nonce      TEXT NOT NULL,
	body       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	PRIMARY KEY (room_id, seq),
	UNIQUE (room_id, author_id, nonce)
) WITHOUT ROWID;

CREATE INDEX rooms_by_talk ON rooms (last_at);

INSERT INTO settings VALUES ('epoch', '00112233445566aa'), ('spot', '10592419 1700000000000000000'),
	('key', '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');

-- 9007199254740993 is 2^53 + 1, which no floating point number is.
INSERT INTO users (id, name, guest, created_at) VALUES (1, 'Ann', 1, 1700000000000),
	(4611686018427387904, '白鹭', 1, 1700000001000), (9007199254740993, 'O''Hara "\" ]],[[', 1, 1700000001000),
	(9223372036854775807, '😀', 1, 1700000001000);
INSERT INTO logins VALUES (x'0100000000000000000000000000000000000000000000000000000000000000', 1, 1700000000000, 1700000002000);

INSERT INTO rooms (id, slug, last_seq, last_at) VALUES
	(1, 'lobby', 24, 1700000009000), (2, '茶馆', 2600, 1700000260000), (3, 'empty', 0, 0),
	(4, 'sixty-four', 64, 1700000000064), (5, 'sixty-five', 65, 1700000000065), (8, 'large', 70, 1700000000000),
	(77, 'one', 1, 0);

-- Texts and nonces of all kinds.
INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at) VALUES
	(1, 1, 1, 'n', 'hi', 1700000000000),
	(1, 2, 4611686018427387904, 'n', '你好，喝茶吗？', 1700000001000),
	(1, 3, 9007199254740993, 'N', 'line one
line two	and a tab

', 1700000001000),
	(1, 4, 1, '0', ']],[[', 1700000001000),
	(1, 5, 1, '00', ']', 1700000001001),
	(1, 6, 1, '0.0', '"', 1700000001001),
	(1, 7, 1, 'null', '''', 1700000001002),
	(1, 8, 1, '"', '\', 1700000001002),
	(1, 9, 1, '\', '\\', 1700000001002),
	(1, 10, 1, '''', '\"\\"', 1700000001002),
	(1, 11, 1, '\u0041', '\u0041 \n is four characters, A is one', 1700000001002),
	(1, 12, 1, 'A', '[[1,2,"a","b"],[3,4,"c","d"]]', 1700000002000),
	(1, 13, 1, ']],[[', '", "', 1700000002000),
	(1, 14, 1, '"]],[["', '👩‍👩‍👧‍👦 🏴󠁧󠁢󠁷󠁬󠁳󠁿 𠀀', 1700000002000),
	(1, 15, 1, 'n ', 'separators' || char(0x2028) || 'of lines' || char(0x2029) || 'and paragraphs', 1700000003000),
	(1, 16, 1, char(0x2028), char(0xFEFF) || 'marks and noncharacters' || char(0xFFFD, 0xFFFE, 0xFFFF, 0x10FFFF, 0xE000), 1700000003000),
	(1, 17, 1, char(0xE9), 'é by one code point in the nonce', 1700000004000),
	(1, 18, 1, 'e' || char(0x301), 'é by two', 1700000004000),
	(1, 19, 1, replace(hex(zeroblob(32)), '0', '😀'), 'the longest nonce', 1700000005000),
	(1, 20, 9223372036854775807, '茶', 'null', 1700000006000),
	(1, 21, 9223372036854775807, '1e999', '1e999', 1700000007000),
	(1, 22, 9223372036854775807, 'a/b?c=%41&d;e', '</script><script>alert(1)</script> %s %d $1 ?', 1700000008000),
	(1, 23, 4611686018427387904, '''; DROP TABLE messages; --', 'Ünïcödé ' || char(0x202E) || 'from the right', 1700000009000),
	(1, 24, 4611686018427387904, 'f47ac10b-58cc-4372-a567-0e02b2c3d479', 'bye', 1700000009000),
	(77, 1, 1, 'n', 'the same nonce as in another room, at the beginning of time', 0);

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2600)
INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at)
SELECT 2, i, iif(i % 3 = 0, 1, 4611686018427387904), 'n' || i, '第 ' || i || ' 條 "' || substr('茶館裡人來人往', 1, i % 8) || '"', 1700000000000 + i / 2 * 200 FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 65)
INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at)
SELECT r.id, i, 1, 'n' || i, r.slug || ': ' || i, 1700000000000 + i FROM rooms r, n WHERE r.id IN (4, 5) AND i <= r.last_seq;

-- The longest texts that there are: 8,000 characters of four bytes.
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70)
INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at)
SELECT 8, i, 1, 'n' || i, replace(hex(zeroblob(4000)), '0', '𠀀'), 1700000000000 FROM n;
