package doctor

import "syscall"

const (
	network   = "its locks do not keep two servers apart"
	forgetful = "everything in it is gone after a restart"
	unknown   = "what is behind it may not keep what it was told to keep"
)

// kinds are file systems to be warned of, by their numbers in statfs(2).
var kinds = map[uint32]volume{
	0x6969:     {kind: "NFS", why: network, bad: true},
	0x517b:     {kind: "SMB", why: network, bad: true},
	0xff534d42: {kind: "CIFS", why: network, bad: true},
	0xfe534d42: {kind: "SMB", why: network, bad: true},
	0x5346414f: {kind: "AFS", why: network, bad: true},
	0x01021997: {kind: "9p", why: network, bad: true},
	0x00c36400: {kind: "Ceph", why: network, bad: true},
	0x0bd00bd0: {kind: "Lustre", why: network, bad: true},
	0x65735546: {kind: "FUSE", why: unknown},
	0x01021994: {kind: "tmpfs", why: forgetful},
	0x858458f6: {kind: "ramfs", why: forgetful},
	0x794c7630: {kind: "overlayfs", why: "in a container everything in it is gone with the container"},
}

// readVolume says what a folder is on.
func readVolume(folder string) (volume, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return volume{}, false
	}
	v := kinds[uint32(s.Type)]
	block := uint64(s.Bsize)
	v.free, v.all, v.inodes, v.nodes = s.Bavail*block, s.Blocks*block, s.Ffree, s.Files
	return v, true
}
