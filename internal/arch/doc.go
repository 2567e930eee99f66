// Package arch is the shape of the house as tests: which package may import
// which, and how large a file, a function, an interface and a list of
// parameters may grow. It holds no code that runs in the server.
//
// The rules are data (imports_test.go, budgets_test.go). A new package must be
// added to them, so that its place is decided once and in the open. The checkers
// are themselves tested on small wrong inputs, since a rule that cannot fail
// proves nothing.
package arch
