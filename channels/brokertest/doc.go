// Package brokertest says as tests what a [channels.Broker] promises, measures
// brokers, and has a reference: [Hub], whose brokers join layers of one process.
//
// Who writes a broker gives a [Setup] to [Run] and to [Benchmark]:
//
//	func TestContract(t *testing.T) {
//		brokertest.Run(t, func(t testing.TB) brokertest.Setup {
//			server := startServer(t)
//			return brokertest.Setup{
//				New: func(t testing.TB) channels.Broker { return mybroker.New(server.Address) },
//				Cut: func(t testing.TB) { server.CloseClients() },
//			}
//		})
//	}
//
// The tests play the part of several processes, each with a broker and without
// a layer. Whatever a test is about, every delivery in it is also checked for
// what holds always: it comes once, in the order of its sender, with what was
// sent, to a process that should have it, and never to its sender. Brokers that
// are more (a [channels.Queuer], a [channels.Enroller], an [io.Closer]) are tested
// for that too.
//
// No test passes or fails by the clock: what must happen is waited for, up to
// Setup.Patience, and what must not happen is looked for behind something sent
// later.
package brokertest
