package sqlstore

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	driversqlite "modernc.org/sqlite"
)

// Failure is why a database cannot be opened, or a file not be made. It holds no
// password, wherever in an address one stood.
type Failure struct {
	Reason error  // one of the reasons of this package; errors.Is finds it
	Cause  error  // what was found; nil when Reason says it all
	Do     string // what to do about it, and where; no full stop
}

// failure is a Failure as an error.
func failure(reason, cause error, do string) error {
	return &Failure{Reason: reason, Cause: cause, Do: do}
}

// What is Reason with what was found, in one line.
func (f *Failure) What() string {
	switch {
	case f.Cause == nil:
		return f.Reason.Error()
	case errors.Is(f.Cause, f.Reason): // and says so
		return inOneLine(f.Cause)
	}
	return f.Reason.Error() + " (" + inOneLine(f.Cause) + ")"
}

// inOneLine is what several joined errors say, each once.
func inOneLine(err error) string {
	var all []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return strings.Join(all, "; ")
}

// Error implements error: What, and Do.
func (f *Failure) Error() string { return f.What() + ": " + f.Do }

// Unwrap gives Reason and Cause.
func (f *Failure) Unwrap() []error {
	if f.Cause == nil {
		return []error{f.Reason}
	}
	return []error{f.Reason, f.Cause}
}

// unwritable is the failure of a file that cannot be made or written: of all the
// system's reasons, those that are not about the file have advice of their own.
func unwritable(reason error, path string, err error) error {
	switch {
	case noMoreFiles(err):
		return failure(ErrFiles, err, moreFiles)
	case errors.Is(err, syscall.ENOTDIR):
		return failure(reason, err, "there is a file where a folder of "+path+" should be, name another place")
	case errors.Is(err, fs.ErrPermission):
		return failure(reason, err, "let this user write "+path+" and its folder, or run this as root or as the user they belong to")
	}
	return failure(reason, err, "make "+path+" and its folder writable, with space left on the disk")
}

// moreFiles is what to do about ErrFiles.
const moreFiles = "raise the limit of open files (ulimit -n, or LimitNOFILE= of a service)"

func noMoreFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// fewFiles are as many as SQLite has open of one database and what is beside it.
const fewFiles = 8

// whyNot is what the system says when a file is opened that SQLite could not open
// or write, else what SQLite said, which is less: it does not tell a file that may
// not be opened from one too many.
func whyNot(path string, err error) error {
	var said *driversqlite.Error
	if !errors.As(err, &said) {
		return err
	}
	for range fewFiles {
		f, why := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(why, fs.ErrNotExist) {
			break
		}
		if why != nil {
			return why
		}
		defer f.Close()
	}
	return err
}
