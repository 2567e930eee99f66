package chat_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newService(t *testing.T, o chat.Options) *chat.Service {
	t.Helper()
	if o.Store == nil {
		o.Store = memstore.New()
	}
	s, err := chat.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAPostIsStoredOncePublishedOnceAndAnsweredAgain(t *testing.T) {
	var published []chat.Message
	s := newService(t, chat.Options{Publish: func(room string, m chat.Message) { published = append(published, m) }})
	p := chat.Post{Room: " lobby ", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: "n1", Text: "hi\r\n"}
	m, dup, err := s.Post(t.Context(), p)
	if err != nil || dup || m.Seq != 1 || m.Text != "hi" {
		t.Fatalf("first: %+v %v %v", m, dup, err)
	}
	again, dup, err := s.Post(t.Context(), p)
	if err != nil || !dup || again != m {
		t.Fatalf("again: %+v %v %v, want %+v", again, dup, err, m)
	}
	p.Text = "ho"
	if _, _, err = s.Post(t.Context(), p); !errors.Is(err, chat.ErrNonceConflict) {
		t.Fatalf("other text: %v", err)
	}
	if len(published) != 1 || published[0] != m {
		t.Fatalf("published %+v", published)
	}
}
