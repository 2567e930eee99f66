package wire

import (
	"encoding/json"
	"fmt"
)

// How each frame is written: the fields of its struct, in their order and by
// their tags. Tests hold this to what encoding/json makes of the same struct.
// It is written out because the server encodes every message for its room, and
// pages of them for everybody who joins; reflection took three times as long.

func (f Hello) encode(ref string) []byte {
	return open(TypeHello, ref, 64+len(f.Client)+len(f.Locale)+len(f.Token)+len(f.Epoch)).
		given("client", f.Client).given("locale", f.Locale).given("token", f.Token).given("epoch", f.Epoch).close()
}

func (f Join) encode(ref string) []byte {
	return open(TypeJoin, ref, 92+len(f.Room)+len(f.Epoch)).
		text("room", f.Room).position("after", f.After).nonzero("limit", int64(f.Limit)).given("epoch", f.Epoch).mark("all", f.All).close()
}

func (f Leave) encode(ref string) []byte {
	return open(TypeLeave, ref, 16+len(f.Room)).text("room", f.Room).close()
}

func (f Post) encode(ref string) []byte {
	return open(TypePost, ref, 48+len(f.Room)+len(f.Nonce)+len(f.Text)).
		text("room", f.Room).text("nonce", f.Nonce).text("text", f.Text).close()
}

func (f History) encode(ref string) []byte {
	return open(TypeHistory, ref, 80+len(f.Room)).
		text("room", f.Room).
		position("before", f.Before).position("after", f.After).position("around", f.Around).
		nonzero("limit", int64(f.Limit)).close()
}

func (f Typing) encode(ref string) []byte {
	return open(TypeTyping, ref, 16+len(f.Room)).text("room", f.Room).close()
}

func (f Who) encode(ref string) []byte {
	return open(TypeWho, ref, 32+len(f.Room)+len(f.After)).text("room", f.Room).given("after", f.After).close()
}

func (f Rename) encode(ref string) []byte {
	return open(TypeRename, ref, 16+len(f.Name)).text("name", f.Name).close()
}

func (f Ping) encode(ref string) []byte { return open(TypePing, ref, 0).close() }

func (f Welcome) encode(ref string) []byte {
	limits, err := json.Marshal(f.Limits) // once per socket, and it knows how to write a float
	if err != nil {
		panic(fmt.Sprintf("wire: limits: %v", err)) // a rate is a finite number
	}
	o := open(TypeWelcome, ref, 80+len(f.Ref)+f.You.size()+len(f.Epoch)+len(f.Server)+len(f.Token)+len(limits)).
		given("ref", f.Ref).person("you", f.You).text("epoch", f.Epoch).text("server", f.Server).given("token", f.Token)
	return append(o.key("limits"), limits...).close()
}

func (f Joined) encode(ref string) []byte {
	o := open(TypeJoined, ref, 128+len(f.Ref)+len(f.Room)+f.Here.size()).
		given("ref", f.Ref).text("room", f.Room).integer("after", f.After).integer("last", f.Last).
		flag("first", f.First).mark("reset", f.Reset)
	return append(f.Here.fields(append(o.key("here"), '{')), '}', '}')
}

func (f Left) encode(ref string) []byte {
	return open(TypeLeft, ref, 32+len(f.Ref)+len(f.Room)).given("ref", f.Ref).text("room", f.Room).close()
}

func (f Messages) encode(ref string) []byte {
	return list(open(TypeMessages, ref, 32+len(f.Room)+sizes(f.Messages)).
		text("room", f.Room), "messages", f.Messages).close()
}

func (f MessageFrame) encode(ref string) []byte {
	return f.fields(open(TypeMessage, ref, 16+len(f.Room)+f.size()).text("room", f.Room)).close()
}

func (f Ack) encode(ref string) []byte {
	return open(TypeAck, ref, 96+len(f.Ref)+len(f.Room)+len(f.Nonce)).
		given("ref", f.Ref).text("room", f.Room).text("nonce", f.Nonce).integer("seq", f.Seq).time("at", f.At).close()
}

func (f HistoryPage) encode(ref string) []byte {
	return list(open(TypeHistory, ref, 64+len(f.Ref)+len(f.Room)+sizes(f.Messages)).
		given("ref", f.Ref).text("room", f.Room), "messages", f.Messages).
		flag("first", f.First).flag("last", f.Last).close()
}

func (f TypingFrame) encode(ref string) []byte {
	return list(open(TypeTyping, ref, 32+len(f.Room)+sizes(f.People)).
		text("room", f.Room), "people", f.People).close()
}

func (f Here) encode(ref string) []byte { return f.fields(open(TypeHere, ref, f.size())).close() }

func (f Renamed) encode(ref string) []byte {
	return open(TypeRenamed, ref, 32+len(f.Ref)+f.Person.size()).given("ref", f.Ref).person("person", f.Person).close()
}

func (f Pong) encode(ref string) []byte {
	return open(TypePong, ref, 16+len(f.Ref)).given("ref", f.Ref).close()
}

func (f ErrorFrame) encode(ref string) []byte {
	return open(TypeError, ref, 96+len(f.Ref)+len(f.Code)+len(f.Message)+len(f.Room)+len(f.Nonce)).
		given("ref", f.Ref).text("code", f.Code).text("message", f.Message).
		given("room", f.Room).given("nonce", f.Nonce).nonzero("retry_ms", f.RetryMS).close()
}

func (p Person) fields(o object) object {
	return o.text("id", p.ID).text("name", p.Name).text("tag", p.Tag)
}

func (p Person) size() int { return 32 + len(p.ID) + len(p.Name) + len(p.Tag) }

func (m Message) fields(o object) object {
	return o.integer("seq", m.Seq).person("author", m.Author).text("text", m.Text).time("at", m.At).given("nonce", m.Nonce)
}

func (m Message) size() int { return 96 + m.Author.size() + len(m.Text) + len(m.Nonce) }

func (f Here) fields(o object) object {
	o = o.given("ref", f.Ref).given("room", f.Room).integer("count", int64(f.Count))
	if len(f.People) > 0 {
		o = list(o, "people", f.People)
	}
	o = o.given("next", f.Next)
	if len(f.Joined) > 0 {
		o = list(o, "joined", f.Joined)
	}
	return o.strings("left", f.Left).mark("more", f.More)
}

func (f Here) size() int {
	return 96 + len(f.Ref) + len(f.Room) + len(f.Next) + sizes(f.People) + sizes(f.Joined) + 16*len(f.Left)
}
