// Package network makes small networks on one Linux machine, and breaks them,
// for tests: hosts that are network namespaces, joined by a bridge that is in a
// namespace of its own. Nothing of it touches the machine's own network, and
// several networks with the same addresses may exist side by side.
//
// Its nouns: a Network owns all; a Host is a machine in it, with an address, in
// which programs are started by Do; a Rule is what happens to the packets that
// come from one host to another.
//
// A network ends with its test. What a test that was killed has left behind is
// swept away by the next: the names of namespaces hold the process's id.
package network
