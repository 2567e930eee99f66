// Package proxy tests the files of deploy/: two servers of one chat behind
// Debian's nginx, HAProxy and Caddy, each with the very configuration that is
// given to operators, and the unit of the service.
package proxy
