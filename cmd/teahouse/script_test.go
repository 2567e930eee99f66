package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // for the command sql
)

// TestMain makes the scripts' command teahouse run this very binary.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"teahouse": main})
}

// TestScripts runs testdata/script/*.txtar: the command line as a user sees it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":   await,
			"occupy":  occupy,
			"http":    request,
			"oneline": oneLine,
			"sql":     execSQL,
			"damage":  damage,
		},
	})
}

// patience bounds a wait for something that will happen unless there is a bug.
const patience = 30 * time.Second

// await FILE REGEXP [NAME] waits until the file has a match, and sets the
// environment variable NAME to its first group.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE REGEXP [NAME]")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	var text []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err = os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !os.IsNotExist(err) {
			ts.Check(err)
		}
		match := re.FindSubmatch(text)
		if match == nil {
			continue
		}
		if len(args) == 3 {
			ts.Setenv(args[2], string(match[1]))
		}
		return
	}
	ts.Fatalf("%s never matched %s:\n%s", args[0], args[1], text)
}

// occupy NAME takes a free port until the script ends, and sets NAME to it.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy NAME")
	}
	l, err := net.Listen("tcp", "localhost:0")
	ts.Check(err)
	ts.Defer(func() { ts.Check(l.Close()) })
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
}

// http METHOD URL [BODY] prints status and body of the answer.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: http METHOD URL [BODY]")
	}
	req, err := http.NewRequest(args[0], args[1], strings.NewReader(strings.Join(args[2:], "")))
	ts.Check(err)
	if len(args) == 3 {
		req.Header.Set("Content-Type", "text/plain")
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n", res.Status, body)
}

// oneline FILE fails unless the file, or stderr, is exactly one line.
func oneLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: oneline FILE")
	}
	text := []byte(ts.ReadFile(args[0]))
	if bytes.Count(text, []byte("\n")) != 1 || !bytes.HasSuffix(text, []byte("\n")) {
		ts.Fatalf("%s is not one line:\n%s", args[0], text)
	}
}

// sql FILE STATEMENT changes a database behind the server's back.
func execSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Exec(args[1])
	ts.Check(err)
	ts.Check(db.Close())
}

// damage FILE FROM overwrites the file with noise from a byte to the end.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage FILE FROM")
	}
	from, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	size, err := f.Seek(0, io.SeekEnd)
	ts.Check(err)
	if size <= from {
		ts.Fatalf("%s has only %d bytes", args[0], size)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, int(size-from)), from)
	ts.Check(err)
	ts.Check(f.Close())
}
