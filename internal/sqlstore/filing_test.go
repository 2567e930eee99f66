package sqlstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// unfiledRoom has a server store messages of three people in a room, and file none.
func unfiledRoom(t *testing.T, s *Store, room string, messages int) {
	t.Helper()
	for first := 0; first < messages; first += fileAt {
		forgetful(t, s, 1<<30, knownBytes)
		var batch []chat.Draft
		for i := first; i < min(first+fileAt, messages); i++ {
			batch = append(batch, chat.Draft{
				Room: room, Author: chat.User{ID: chat.UserID(i%3 + 1), Name: "Ann"},
				Nonce: fmt.Sprint(i), Text: "text", At: time.UnixMilli(1), Create: true,
			})
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	forgetful(t, s, fileAt, knownBytes)
}

// What was to be filed when a server looked may be filed when it comes to it.
func TestWhatAnotherServerHasFiledIsNotFiledAgain(t *testing.T) {
	t.Parallel()
	url := inSchemaOf(parts.Postgres(t), "tea")
	first, second := openPeer(t, url), openPeer(t, url)
	const messages = fileMany + 2*fileAt
	unfiledRoom(t, first, "lobby", messages)
	u := unfiled{last: messages}
	if err := first.writer.conn.QueryRowContext(t.Context(), `SELECT id FROM rooms`).Scan(&u.room); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{fileMany, 2 * fileAt, 0} { // by turns, each as if it had just looked
		s := []*Store{first, second}[i%2]
		err := inTransaction(t.Context(), postgres, s.writer.conn, func() error {
			u := u
			filed, err := s.writer.fileNext(t.Context(), &u)
			if filed != want {
				t.Errorf("filed %d, want %d", filed, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		filedOnce(t, s)
	}
}

// Servers that start file what is left while one that runs files what it appends.
func TestServersThatStartFileWhileAnotherAppends(t *testing.T) {
	t.Parallel()
	const rooms, messages, posts = 4, 3 * fileAt, 60
	url := inSchemaOf(parts.Postgres(t), "tea")
	running := openPeer(t, url)
	for room := range rooms {
		unfiledRoom(t, running, fmt.Sprint("room ", room), messages)
	}
	draft := func(room, i int) chat.Draft {
		return chat.Draft{
			Room: fmt.Sprint("room ", room), Author: chat.User{ID: chat.UserID(i%3 + 1), Name: "Ann"},
			Nonce: fmt.Sprint(i), Text: "text", At: time.UnixMilli(1), Create: true,
		}
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s, err := Open(t.Context(), url, quiet)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := range messages / 100 {
				r, err := s.Append(t.Context(), []chat.Draft{draft(i%rooms, i*100)})
				if err != nil || !r[0].Duplicate || r[0].Message.Seq != int64(i*100+1) {
					t.Errorf("number %d again: %+v %v", i*100+1, r, err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range posts {
			forgetful(failing{t}, running, 1+i%20, knownBytes)
			var batch []chat.Draft
			for room := range rooms {
				batch = append(batch, draft(room, messages+i), draft(room, i*50))
			}
			results, err := running.Append(t.Context(), batch)
			if err != nil {
				t.Error(err)
				return
			}
			for k, r := range results {
				if again := k%2 == 1; r.Duplicate != again || r.Err != nil || again && r.Message.Seq != int64(i*50+1) || !again && r.Message.Seq != int64(messages+i+1) {
					t.Errorf("%+v: %+v", batch[k], r)
				}
			}
		}
	})
	wg.Wait()
	filedOnce(t, running)
}
