package config

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/teahouse-chat/teahouse/channels/nats"
	"github.com/teahouse-chat/teahouse/channels/redis"
)

const (
	layerMore = "Redis is for a Django site that shares rooms with this server, see `--django-rooms`, in the format that the site's channel layer has: `redis://` for `channels_redis.core.RedisChannelLayer`, `redis+pubsub://` for `channels_redis.pubsub.RedisPubSubChannelLayer`. The two cannot hear each other. Forms: `redis://user:password@host:6379/0`, `rediss://` with TLS, `unix:///path/to/socket?db=0`, `redis+sentinel://host1,host2/master`, and each with `+pubsub`; several servers, between which the site deals its channels, with commas between, in the site's order. Parameters behind `?`: `prefix`, `format` (`msgpack` or `json`), `random_prefix`, `key` (the site's `symmetric_encryption_keys`, in its order), `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`. NATS joins several servers of one chat without Django: `nats://user:password@host:4222`, `nats://token@host`, `tls://` with TLS; several servers of one cluster with commas between. Parameters behind `?`: `prefix` (of all subjects, `teahouse`), `creds` and `nkey` (files to log in with), `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`. Its user may publish and subscribe to `teahouse.>`, and its `max_payload` should be the 1 MB that it is by default. A server that cannot be reached, at the start or later, costs only what Django says meanwhile and hears: people here notice nothing, `/readyz` says so and stays at 200, and `teahouse_layer_connected` of the metrics is 0. Put the URL into the environment or the file when it holds a password: others on the machine can read flags."

	djangoMore = "Off when empty. What people say in such a room is sent to the Django group `chat_` and the name of the room as `{\"type\": \"chat.message\", \"message\": …, \"username\": …}`, and what Django sends there becomes a message of the room; see [the protocol](protocol.md#a-django-site-in-the-same-room). In a pattern `*` stands for any text, `?` for any character and `[a-c]` for one of these. Commas separate several, in a flag too; a room with a comma in its name is an element of the array in the file. Rooms that are named are there from the start; those of a pattern when somebody has entered them or said something here, for Teahouse cannot know of rooms that only Django has. Whoever can write to that Redis can speak in these rooms."
)

func setLayer(c *Config, v string) error {
	if v == Memory {
		c.Layer = v
		return nil
	}
	scheme := schemeOf(v)
	switch first, _, _ := strings.Cut(scheme, "+"); {
	case first == "redis" || first == "rediss" || first == "unix":
	case NATS(v):
	case isWord(v) && !strings.Contains(v, "/"):
		return fmt.Errorf("is %q: say memory, redis://HOST:6379, redis+pubsub://HOST:6379 or nats://HOST:4222", v)
	case scheme == "": // it may begin with a secret
		return errors.New("is no URL: say memory, redis://HOST:6379, redis+pubsub://HOST:6379 or nats://HOST:4222")
	default:
		return fmt.Errorf("has the scheme %q, which is not supported: say memory, redis://HOST:6379, redis+pubsub://HOST:6379 or nats://HOST:4222", scheme)
	}
	look := lookAtRedis
	if NATS(v) {
		look = lookAtNATS
	}
	if err := look(v); err != nil {
		_, why, _ := strings.Cut(err.Error(), ": ") // behind the package's name
		return fmt.Errorf("cannot be used: %s", why)
	}
	c.Layer = v
	return nil
}

// lookAtRedis finds what is wrong with a URL of Redis without connecting. Only
// here a host must be named: one that is left out by mistake would be localhost.
func lookAtRedis(v string) error {
	o, err := redis.ParseURL(v)
	if err != nil {
		return err
	}
	for _, host := range o.Hosts {
		scheme, rest, _ := strings.Cut(host, "://")
		rest, _, _ = strings.Cut(rest, "?")
		rest = rest[strings.LastIndexByte(rest, '@')+1:]
		name, _, _ := strings.Cut(rest, "/")
		if !strings.HasPrefix(scheme, "unix") && (name == "" || strings.HasPrefix(name, ":")) {
			return errors.New("redis: a host is missing; write for example redis://localhost:6379")
		}
	}
	return nil
}

// lookAtNATS finds what is wrong with a URL of NATS without connecting. Files to
// log in with are for who connects: a backup may not be allowed to read them.
func lookAtNATS(v string) error {
	o, err := nats.ParseURL(v)
	if err != nil {
		return err
	}
	for _, s := range o.Servers {
		if _, host, _ := strings.Cut(s, "://"); strings.HasPrefix(host, ":") {
			return errors.New("nats: a host is missing; write for example nats://localhost:4222")
		}
	}
	return nil
}

// NATS says that a layer is one that nats.ParseURL reads.
func NATS(layer string) bool {
	return strings.HasPrefix(layer, "nats://") || strings.HasPrefix(layer, "tls://")
}

func setDjangoRooms(c *Config, values []string) error {
	c.Django.Rooms = nil
	for _, v := range values {
		if _, err := path.Match(v, ""); err != nil {
			return fmt.Errorf("is %s: close its bracket, as in team-[a-c], and write two backslashes for one", Quote(v))
		}
		c.Django.Rooms = append(c.Django.Rooms, v)
	}
	return nil
}

func setDjangoName(c *Config, v string) error {
	if strings.TrimSpace(v) == "" {
		return errors.New("is empty: say a name, such as Django")
	}
	c.Django.Name = v
	return nil
}
