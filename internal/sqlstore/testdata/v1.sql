-- A database of schema version 1, with people, rooms and messages, as that
-- version left it. Frozen: never change this file.

CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL);
INSERT INTO migrations VALUES (1, 'log', 1700000000000);

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
);

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

INSERT INTO settings VALUES ('epoch', '00112233445566aa'),
	('key', '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
INSERT INTO users (id, name, guest, created_at) VALUES (1, 'Ann', 1, 1700000000000), (4611686018427387904, '白鹭', 1, 1700000001000);
INSERT INTO logins VALUES (x'0100000000000000000000000000000000000000000000000000000000000000', 1, 1700000000000, 1700000002000);
INSERT INTO rooms (id, slug, last_seq) VALUES (1, 'lobby', 3), (2, '茶馆', 1), (3, 'empty', 0);
INSERT INTO messages VALUES
	(1, 1, 1, 'a1', 'hi', 1700000000000),
	(1, 2, 4611686018427387904, 'b1', '你好', 1700000001000),
	(1, 3, 1, 'a2', 'line one
line two', 1700000001000),
	(2, 1, 4611686018427387904, 'b1', '喝茶', 1700000005000);
