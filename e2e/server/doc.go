// Package server runs the real binary for tests: it builds it once per test
// process, starts it on a free port with a data folder of its own, and ends it
// with the test.
//
// A Server is one place (address, data folder) where one process after another
// may run: Stop or Kill ends the process, Restart starts the next one on the
// same data and the same port. Its methods belong to the test's goroutine,
// except Log, which any goroutine may call.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }
package server
