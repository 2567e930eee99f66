// Package chaos lets people talk on several servers that share PostgreSQL and a
// broker, breaks what can be broken while they do, and holds what they lived
// through against what is promised.
//
// Its nouns: a Cluster is PostgreSQL, a broker and, in an Opening of it, three
// nodes with an empty database, each program on a host of its own; a Schedule is
// what happens, all of it from a seed; a Fault is a part of that with a beginning
// and an end; posters, followers and readers are the people. Run carries a
// schedule out and returns a Result, with the Violations of what package check
// promises.
//
// A schedule repeats its choices and not its run: processes are as fast as they
// are. A seed that found something once stays in testdata/seeds.txt.
package chaos
