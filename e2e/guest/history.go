package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/teahouse-chat/teahouse/wire"
)

// client keeps no connections, so that nothing is left behind.
var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: Patience}

// History reads a room's log over HTTP from behind a position to its end.
func History(ctx context.Context, address, room string, after int64) ([]wire.Message, error) {
	return HistoryBy(ctx, &client, address, room, after)
}

// HistoryBy is History by another client.
func HistoryBy(ctx context.Context, by *http.Client, address, room string, after int64) ([]wire.Message, error) {
	var all []wire.Message
	for {
		at := fmt.Sprintf("http://%s/api/rooms/%s/messages?limit=200&after=%d", address, url.PathEscape(room), after)
		page, last, err := readPage(ctx, by, at)
		if err != nil {
			return all, fmt.Errorf("read the log of %s after %d: %w", room, after, err)
		}
		all = append(all, page...)
		if last {
			return all, nil
		}
		if len(page) == 0 {
			return all, fmt.Errorf("the log of %s after %d has an empty page that is not the last", room, after)
		}
		after = page[len(page)-1].Seq
	}
}

func readPage(ctx context.Context, by *http.Client, at string) (page []wire.Message, last bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, false, err
	}
	res, err := by.Do(req)
	if err != nil {
		return nil, false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, false, fmt.Errorf("status %d", res.StatusCode)
	}
	var answer struct {
		Messages []wire.Message
		Last     bool
	}
	err = json.NewDecoder(res.Body).Decode(&answer)
	return answer.Messages, answer.Last, err
}
