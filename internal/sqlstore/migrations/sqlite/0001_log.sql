-- The log of rooms, the people who speak in them and how these come back.
-- Times are Unix milliseconds.

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
