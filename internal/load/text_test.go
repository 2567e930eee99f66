package load

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/wire"
)

func TestATextIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stamp{
			poster: rapid.Uint32Max(maxPosters-1).Draw(t, "poster"),
			number: rapid.Uint32().Draw(t, "number"),
			due:    time.Duration(rapid.Int64Range(0, 1<<48-1).Draw(t, "due")),
		}
		size := rapid.IntRange(MinSize, MaxSize).Draw(t, "size")
		text := appendText(nil, s, size)
		if len(text) != size {
			t.Fatalf("%d bytes, want %d", len(text), size)
		}
		if got, ok := readText(text, size); !ok || got != s {
			t.Fatalf("read %+v, %v; want %+v", got, ok, s)
		}
		quoted, err := json.Marshal(string(text))
		if err != nil || string(quoted) != `"`+string(text)+`"` {
			t.Fatalf("JSON spells it %s, %v", quoted, err)
		}
		at := rapid.IntRange(0, size-1).Draw(t, "at")
		text[at] ^= 1
		if got, ok := readText(text, size); ok && got == s {
			t.Fatalf("a change at %d was not noticed", at)
		}
	})
}

func TestNextTextFindsTextsInEveryEnvelope(t *testing.T) {
	text := string(appendText(nil, stamp{poster: 7, number: 9, due: 11}, 40))
	for name, c := range map[string]struct {
		frame string
		want  int
	}{
		"none":                {`{"type":"here","count":2}`, 0},
		"one":                 {`{"message":"` + text + `"}`, 1},
		"two in one frame":    {`[{"m":"` + text + `"},{"m":"` + text + `"}]`, 2},
		"JSON inside a JSON":  {`{"data":"{\"message\":\"` + text + `\",\"n\":1}"}`, 1},
		"cut off":             {`{"message":"` + text, 0},
		"only the mark":       {`~`, 0},
		"an empty text":       {`{"m":"~"}`, 1}, // which readText then refuses
		"an event and a text": {`42["message","` + text + `"]`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			rest, found := []byte(c.frame), 0
			for {
				got, after, ok := NextText(rest)
				if !ok {
					break
				}
				if len(got) > 1 && string(got) != text {
					t.Errorf("got %q", got)
				}
				rest, found = after, found+1
			}
			if found != c.want {
				t.Errorf("found %d texts, want %d", found, c.want)
			}
		})
	}
}

func TestRichReadsWhatTheServerWrites(t *testing.T) {
	m := &Member{Room: "bench-x-1"}
	text := string(appendText(nil, stamp{poster: 1, number: 2, due: 3}, 64))
	message := func(seq int64) wire.Message {
		return wire.Message{Seq: seq, Author: wire.Person{ID: "a", Name: `静谧 "heron"`}, Text: text, Nonce: "1"}
	}
	for name, c := range map[string]struct {
		frame wire.Frame
		want  Seen
	}{
		"welcome": {wire.Welcome{Epoch: "e"}, Seen{Epoch: "e"}},
		"joined":  {wire.Joined{Room: m.Room, Last: 7}, Seen{Joined: true, Last: 7}},
		"reset":   {wire.Joined{Room: m.Room, Last: 7, Reset: true}, Seen{Joined: true, Last: 7, Refused: "reset"}},
		"error":   {wire.ErrorFrame{Code: "rate_limited"}, Seen{Refused: "rate_limited"}},
		"here":    {wire.Here{Room: m.Room, Count: 3}, Seen{}},
		"message": {wire.MessageFrame{Room: m.Room, Message: message(12)}, Seen{Deliveries: []Delivery{{12, []byte(text)}}}},
		"replay": {wire.Messages{Room: m.Room, Messages: []wire.Message{message(1), message(2)}},
			Seen{Deliveries: []Delivery{{1, []byte(text)}, {2, []byte(text)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got Seen
			Rich{}.Read(m, wire.Encode(c.frame), &got)
			compareSeen(t, got, c.want)
		})
	}
}

func TestPlainReadsWhatTheServerWrites(t *testing.T) {
	text := string(appendText(nil, stamp{poster: 1, number: 2, due: 3}, 64))
	var got Seen
	Plain{}.Read(&Member{}, wire.EncodePlain(wire.PlainMessage{Message: text, Username: "静谧:白鹭", Seq: 43}), &got)
	compareSeen(t, got, Seen{Deliveries: []Delivery{{43, []byte(text)}}})
}

func compareSeen(t *testing.T, got, want Seen) {
	t.Helper()
	same := len(got.Deliveries) == len(want.Deliveries)
	for i := 0; same && i < len(got.Deliveries); i++ {
		same = got.Deliveries[i].Seq == want.Deliveries[i].Seq && bytes.Equal(got.Deliveries[i].Text, want.Deliveries[i].Text)
	}
	got.Deliveries, want.Deliveries = nil, nil
	if !same || got.Joined != want.Joined || got.Epoch != want.Epoch || got.Last != want.Last || got.Refused != want.Refused {
		t.Errorf("got %+v, want %+v, the same deliveries: %v", got, want, same)
	}
}

func TestWhatIsPostedIsWhatTheServerUnderstands(t *testing.T) {
	m := &Member{Room: "bench-x-1", After: 5, Epoch: "e"}
	text := appendText(nil, stamp{poster: 1, number: 2, due: 3}, 64)
	req, err := wire.Decode(Rich{}.AppendPost(nil, m, 2, text))
	if want := (wire.Post{Room: m.Room, Nonce: "2", Text: string(text)}); err != nil || req.Frame != want {
		t.Errorf("the server reads %+v, %v", req, err)
	}
	got, err := wire.DecodePlain(Plain{}.AppendPost(nil, m, 2, text))
	if err != nil || got != string(text) {
		t.Errorf("the server reads %q, %v", got, err)
	}
	for _, f := range (Rich{}).Open(m) {
		if _, err := wire.Decode(f); err != nil {
			t.Errorf("the server refuses %s: %v", f, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	text := string(appendText(nil, stamp{1, 2, 3}, 64))
	f.Add([]byte(`{"type":"message","room":"r","seq":3,"author":{"id":"a"},"text":"` + text + `"}`))
	f.Add([]byte(`{"type":"messages","room":"r","messages":[{"seq":3,"text":"` + text + `"},{"seq":`))
	f.Add([]byte(`{"message":"` + text + `","username":"x","seq":99999999999999999999}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Seen
		Rich{}.Read(&Member{Room: "r"}, data, &s)
		Plain{}.Read(&Member{Room: "r"}, data, &s)
		for _, d := range s.Deliveries {
			readText(d.Text, 64)
		}
	})
}
