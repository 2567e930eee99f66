package redis

import "hash/crc32"

// shard is the index of the host that owns a name, of n. The division is
// upstream's, in floating point: integers differ from 186 hosts on.
func shard(name string, n int) int {
	if n <= 1 {
		return 0
	}
	v := crc32.ChecksumIEEE([]byte(name)) & 0xfff
	return int(float64(v) / (4096 / float64(n)))
}
