package chrome

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
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
		if (performance.now() >= end) return String(value);
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
		if t.look.NoScript {
			left = 0 // the page has no timers: it is asked again from here
		}
		var last string
		last, err = evaluate[string](t, left+Patience, fmt.Sprintf(waiting, left.Milliseconds(), expression))
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

// Heap is the JavaScript heap in use, in bytes, after a garbage collection.
func (t *Tab) Heap() int64 {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, Patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
		t.tb.Fatalf("collecting garbage: %v", err)
	}
	usage, err := chromedp.Call(ctx, runtime.GetHeapUsage, cdp.Empty{})
	if err != nil {
		t.tb.Fatalf("reading the size of the heap: %v", err)
	}
	return int64(usage.UsedSize)
}

func short(expression string) string {
	const most = 300
	expression = strings.Join(strings.Fields(expression), " ")
	if len(expression) > most {
		return expression[:most] + "…"
	}
	return expression
}
