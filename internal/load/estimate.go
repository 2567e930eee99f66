package load

import "math"

// Estimate is how many people a machine holds, from what was measured on it.
type Estimate struct {
	People      int     `json:"people"`       // the least of the three
	ByCPU       int     `json:"by_cpu"`       //
	ByMemory    int     `json:"by_memory"`    //
	ByFiles     int     `json:"by_files"`     // the limit of open files of the server
	RoomSize    int     `json:"room_size"`    // people in a room, as measured
	PostsMinute float64 `json:"posts_minute"` // of each person
	Cores       int     `json:"cores"`        //
	Memory      int64   `json:"memory_bytes"` // available
}

// machine is what a server could have.
type machine struct {
	cores  int
	memory int64 // bytes
	files  int
}

// What an estimate takes for granted. A machine that is planned to its limit has
// nothing left for the evening when everybody comes.
const (
	postsMinute = 1.0  // of each person: a lively room
	cpuShare    = 0.7  // of the processors
	memoryShare = 0.5  // of the memory that is available
	kernelBytes = 4096 // of the kernel's memory per connection, beside the server's
)

// estimate reckons with the cost of a delivery at a low rate, where every
// message is a write of its own: saturated, it would be less.
func estimate(r Result, m machine) *Estimate {
	e := &Estimate{RoomSize: r.Members, PostsMinute: postsMinute, Cores: m.cores, Memory: m.memory}
	if r.ServerPerDelivery > 0 {
		perPerson := r.ServerPerDelivery / 1e6 * float64(r.Members) * postsMinute / 60 // processors
		e.ByCPU = int(math.Round(cpuShare * float64(m.cores) / perPerson))
	}
	e.ByMemory = int(memoryShare * float64(m.memory) / float64(max(r.RSSPerConnection, 0)+kernelBytes))
	e.ByFiles = max(m.files-spareFiles, 0)
	e.People = min(e.ByCPU, e.ByMemory, e.ByFiles)
	return e
}
