package chrome

import (
	"context"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Click clicks the middle of the first element of a selector with the mouse.
func (t *Tab) Click(selector string) {
	t.tb.Helper()
	t.do(chromedp.Click(chromedp.CSS(selector)))
}

// Press presses keys one after the other: characters, or those of package kb. A
// key that the page takes (preventDefault) makes no character, as at a desk.
func (t *Tab) Press(keys string, modifiers ...chromedp.Modifier) {
	t.tb.Helper()
	held := kb.ModifierNone
	for _, m := range modifiers {
		held |= m
	}
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		for _, r := range keys {
			if err := press(ctx, s, r, held); err != nil {
				return err
			}
		}
		return nil
	}))
}

func press(ctx context.Context, s cdp.Session, r rune, held kb.Modifier) error {
	k := kb.Keys[r]
	if k == nil {
		k = &kb.Key{Key: string(r), Text: string(r), Unmodified: string(r), Print: true}
	}
	if k.Shift {
		held |= kb.ModifierShift
	}
	down := input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeRawKeyDown, Modifiers: int64(held), Key: k.Key, Code: k.Code,
		WindowsVirtualKeyCode: k.Windows, NativeVirtualKeyCode: k.Native,
	}
	up := down
	up.Type = input.DispatchKeyEventTypeKeyUp
	if k.Print && held&^kb.ModifierShift == 0 {
		down.Type, down.Text, down.UnmodifiedText = input.DispatchKeyEventTypeKeyDown, k.Text, k.Unmodified
	}
	return inOrder(call(ctx, s, input.DispatchKeyEvent, down), call(ctx, s, input.DispatchKeyEvent, up))
}

// Type inserts text where the focus is, as a paste or an input method does.
func (t *Tab) Type(text string) {
	t.tb.Helper()
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		return call(ctx, s, input.InsertText, input.InsertTextParams{Text: text})()
	}))
}

// Compose shows text as the unfinished composition of an input method.
func (t *Tab) Compose(text string) {
	t.tb.Helper()
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		n := int64(len([]rune(text)))
		return call(ctx, s, input.ImeSetComposition, input.ImeSetCompositionParams{Text: text, SelectionStart: n, SelectionEnd: n})()
	}))
}

// CandidateKey presses a key that the input method takes: the page is told key
// code 229 while it composes (UI Events, section 4.3.3).
func (t *Tab) CandidateKey(key string) {
	t.tb.Helper()
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		return call(ctx, s, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: key, Code: key, WindowsVirtualKeyCode: 229, NativeVirtualKeyCode: 229,
		})()
	}))
}

// Wheel turns the mouse wheel over the middle of the window by dy px.
func (t *Tab) Wheel(dy float64) {
	t.tb.Helper()
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		return call(ctx, s, input.DispatchMouseEvent, input.DispatchMouseEventParams{
			Type: input.DispatchMouseEventTypeMouseWheel, X: 400, Y: 350, DeltaY: dy,
			DeltaX: 1e-9, // required, and left out when it is 0
		})()
	}))
}

// Edit runs an editing command of the browser, such as "copy", "cut", "paste" or
// "selectAll", as its key does.
func (t *Tab) Edit(command string) {
	t.tb.Helper()
	t.do(chromedp.Func(func(ctx context.Context, s *chromedp.Target) error {
		return call(ctx, s, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Modifiers: int64(kb.ModifierCtrl), Commands: []string{command},
		})()
	}))
}
