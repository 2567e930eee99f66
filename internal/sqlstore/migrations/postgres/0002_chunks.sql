-- The log of a room in chunks: messages that follow one another and were stored by
-- one commit are one row, see docs/decisions/0018. Up to 8 KB they stay in the row
-- as they are.

-- Nobody stores anything between what is read here and the end: what a server of
-- the version before stores then would be lost with its table.

LOCK TABLE rooms, messages IN ACCESS EXCLUSIVE MODE;

CREATE TABLE chunks (
	id       BIGINT PRIMARY KEY, -- room << 36 | seq of the first message
	messages TEXT NOT NULL       -- JSON: a list of [author, time, nonce, text], one seq after another
) WITH (toast_tuple_target = 8160);

ALTER TABLE chunks ALTER COLUMN messages SET STORAGE EXTERNAL;

-- Where a message is in its chunk says its seq: a log with a hole is not upgraded.

CREATE TABLE holes (rooms_with_messages_missing BIGINT CHECK (rooms_with_messages_missing = 0));

INSERT INTO holes SELECT count(*) FROM rooms r LEFT JOIN
	(SELECT room_id, count(*) AS messages, max(seq) AS newest FROM messages GROUP BY room_id) m ON m.room_id = r.id
	WHERE r.last_seq <> coalesce(m.messages, 0) OR r.last_seq <> coalesce(m.newest, 0);

DROP TABLE holes;

INSERT INTO chunks (id, messages)
SELECT room_id << 36 | min(seq), '[' || string_agg('[' || author_id || ',' || created_at || ',' || to_json(nonce) || ',' || to_json(body) || ']',
	',' ORDER BY seq) || ']'
FROM messages GROUP BY room_id, (seq - 1) / 64;

DROP TABLE messages;

CREATE VIEW messages (room_id, seq, author_id, nonce, body, created_at) AS
SELECT c.id >> 36, (c.id & 68719476735) + m.place - 1, (m.message ->> 0)::bigint, m.message ->> 2, m.message ->> 3, (m.message ->> 1)::bigint
FROM chunks c, json_array_elements(c.messages::json) WITH ORDINALITY AS m (message, place);

-- The nonces of old messages, by who used them: how a post that comes again is
-- known. Those of messages that are newer than rooms.filed are in chunks only.

CREATE TABLE nonces (
	room_id   BIGINT NOT NULL,
	author_id BIGINT NOT NULL,
	first     BIGINT NOT NULL, -- seq of the first message in it
	keys      BYTEA NOT NULL,  -- 8 bytes of a hash and 8 of a seq for each message
	PRIMARY KEY (room_id, author_id, first)
);

ALTER TABLE rooms ADD COLUMN filed BIGINT NOT NULL DEFAULT 0;
