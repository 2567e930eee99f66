package chrome

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// waiting resolves to "" when its expression (a function's body may follow as an
// await) is true, or to what it was at the end.
const waiting = `(async () => {
	const end = performance.now() + %d;
	for (;;) {
		let value;
		try { value = await (%s); } catch (error) { value = error; }
		if (value && !(value instanceof Error)) return '';
		if (performance.now() > end) return String(value);
		await new Promise((again) => setTimeout(again, 10));
	}
})()`

// errNever is a condition that did not come true.
var errNever = errors.New("never true")

// Eval is the value of an expression in the page; a promise is awaited.
func Eval[T any](t *Tab, expression string, args ...any) T {
	t.tb.Helper()
	v, err := evaluate[T](t, Patience, fill(expression, args))
	if err != nil {
		t.tb.Fatalf("%s: %v", short(expression), err)
	}
	return v
}

// Do runs an expression in the page for its effect; a promise is awaited.
func (t *Tab) Do(expression string, args ...any) {
	t.tb.Helper()
	Eval[bool](t, "(async () => { await ("+expression+"); return true; })()", args...)
}

// Until waits until an expression is true, across navigations.
func (t *Tab) Until(expression string, args ...any) {
	t.tb.Helper()
	t.UntilWithin(Patience, expression, args...)
}

// UntilWithin is Until with another patience.
func (t *Tab) UntilWithin(patience time.Duration, expression string, args ...any) {
	t.tb.Helper()
	expression = fill(expression, args)
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		left := time.Until(end)
		var last string
		last, err = evaluate[string](t, left+time.Second, fmt.Sprintf(waiting, left.Milliseconds(), expression))
		if err == nil && last == "" {
			return
		}
		if err == nil {
			err = fmt.Errorf("%w, at last %s", errNever, last)
		} else if !navigated(err) {
			break
		}
	}
	t.tb.Fatalf("waiting for %s: %v", short(expression), err)
}

// navigated says that an evaluation ended because the page was left.
func navigated(err error) bool {
	text := err.Error()
	return strings.Contains(text, "navigated or closed") || strings.Contains(text, "context was destroyed") ||
		strings.Contains(text, "Cannot find context") || strings.Contains(text, "context with specified id")
}

func evaluate[T any](t *Tab, patience time.Duration, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

func short(expression string) string {
	const most = 300
	expression = strings.Join(strings.Fields(expression), " ")
	if len(expression) > most {
		return expression[:most] + "…"
	}
	return expression
}

// Click clicks the middle of the first element of a selector with the mouse.
func (t *Tab) Click(selector string) {
	t.tb.Helper()
	t.do(chromedp.Click(chromedp.CSS(selector)))
}

// Press presses keys one after the other: characters, or those of package kb.
func (t *Tab) Press(keys string, modifiers ...chromedp.Modifier) {
	t.tb.Helper()
	t.do(chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
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
		})()
	}))
}
