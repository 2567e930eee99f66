package redis

import (
	"context"
	"crypto/sha1" // by which Redis calls scripts
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	redigo "github.com/gomodule/redigo/redis"
)

// script is one in Lua, which declares every key it touches.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// command runs a script by its text or by its SHA-1.
func (s script) command(verb, which string, keys, args []string) command {
	c := make(command, 0, 3+len(keys)+len(args))
	c = append(c, verb, which, strconv.Itoa(len(keys)))
	return append(append(c, keys...), args...)
}

// run runs a script by its SHA-1, and by its text when the server does not know
// it.
func (c *conn) run(ctx context.Context, s script, keys, args []string) (any, error) {
	answer, err := c.one(ctx, s.command("EVALSHA", s.sha, keys, args))
	var told redigo.Error
	if errors.As(err, &told) && strings.HasPrefix(told.Error(), "NOSCRIPT") {
		answer, err = c.one(ctx, s.command("EVAL", s.text, keys, args))
	}
	return answer, err
}

// scripts are those of a broker.
type scripts struct {
	push, look, renew, claim, extend, release script
}

func newScripts() scripts {
	return scripts{
		push:    newScript(pushScript),
		look:    newScript(lookScript),
		renew:   newScript(renewScript),
		claim:   newScript(claimScript),
		extend:  newScript(extendScript),
		release: newScript(releaseScript),
	}
}

// pushScript writes entries to sorted sets that have room.
//
// KEYS: the sets. ARGV: the score up to which entries are too old, the expiry in
// seconds, then for each entry the index of its set, that one's capacity, the
// score and the blob. It returns the numbers, from 0, of entries with no room.
// A key that is something else has none, and the others are written.
const pushScript = `
local count, fresh, refused = {}, {}, {}
for k, key in ipairs(KEYS) do
  local trimmed = redis.pcall('ZREMRANGEBYSCORE', key, 0, ARGV[1])
  count[k] = type(trimmed) == 'table' and math.huge or redis.call('ZCARD', key)
end
for a = 3, #ARGV, 4 do
  local k = tonumber(ARGV[a])
  if count[k] < tonumber(ARGV[a + 1]) then
    redis.call('ZADD', KEYS[k], ARGV[a + 2], ARGV[a + 3])
    count[k] = count[k] + 1
    fresh[k] = true
  else
    refused[#refused + 1] = (a - 3) / 4
  end
end
for k, key in ipairs(KEYS) do
  if fresh[k] then redis.call('EXPIRE', key, ARGV[2]) end
end
return refused`

// lookScript makes sure that this process is still enrolled in groups.
//
// KEYS: this process's list of groups, then the groups. ARGV: the score of now,
// the group expiry in seconds, then for each group the member and "1" if it is
// to be renewed anyhow. It returns the numbers, from 1, of groups that had lost
// the member. Groups whose key is something else are left alone until it is gone.
const lookScript = `
local lost = {}
for g = 2, #KEYS do
  local member = ARGV[2 * g - 1]
  local there = redis.pcall('ZSCORE', KEYS[g], member)
  local strange = type(there) == 'table'
  if not strange and (not there or ARGV[2 * g] == '1') then
    redis.call('ZADD', KEYS[g], ARGV[1], member)
    redis.call('EXPIRE', KEYS[g], ARGV[2])
    redis.call('HSET', KEYS[1], KEYS[g], member)
  end
  if not there then lost[#lost + 1] = g - 1 end
end
return lost`

// renewScript tells the others that this process lives, and learns which of
// them do not.
//
// KEYS: the list of processes, scored by the time up to which each is thought
// alive; this process's list of groups. ARGV: this process, the seconds of its
// lease, those after which both lists may go. It returns the server's
// TIME, 1 if the process was not known, all processes that live, and some that
// no longer do.
const renewScript = `
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local new = redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return {t[1], t[2], new,
  redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now, 'LIMIT', 0, 16)}`

// claimScript takes over the list of groups of a process that died, unless
// it has come back or another took it.
//
// KEYS: the list of processes, that process's list of groups. ARGV: the process.
const claimScript = `
local t = redis.call('TIME')
local alive = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not alive or tonumber(alive) >= t[1] + t[2] / 1000000 then return {} end
local groups = redis.call('HGETALL', KEYS[2])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return groups`

// extendScript lets a lease live on. KEYS: the lease. ARGV: the token of who
// holds it, milliseconds.
const extendScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

// releaseScript ends a lease. KEYS: the lease. ARGV: the token of who holds it.
const releaseScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`
