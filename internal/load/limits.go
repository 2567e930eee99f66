package load

import (
	"context"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

// welcomeWithin is how long Limited waits for a server.
const welcomeWithin = 5 * time.Second

// Limited asks the Teahouse at the address of a plan whether it limits how fast
// people post: then nothing that is measured there means anything. A server that
// does not answer, or is no Teahouse, does not say so.
func Limited(ctx context.Context, p Plan) bool {
	ctx, cancel := context.WithTimeout(ctx, welcomeWithin)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+p.Address.String()+"/ws", &websocket.DialOptions{
		Host: p.Host, Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		return false
	}
	defer func() { _ = conn.CloseNow() }() // nobody needs it any more
	hello := wire.EncodeRequest("", wire.Hello{Client: "teahouse-bench/1"})
	if err := conn.Write(ctx, websocket.MessageText, hello); err != nil {
		return false
	}
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return false
		}
		if frame, err := wire.DecodeServer(text); err == nil {
			if w, ok := frame.(wire.Welcome); ok {
				return w.Limits.Rate > 0
			}
		}
	}
}
