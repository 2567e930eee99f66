package chat

import "strings"

// GuestName makes up a friendly name for a guest, the same for the same id and
// language: an adjective and a noun from the world of tea, birds and weather,
// "Quiet Heron" or "静谧白鹭". The locale is a BCP 47 tag: Chinese for "zh" and
// everything under it, English for all else. Each language has 4,096 names, so
// two guests may share one: UserID.Tag tells them apart.
func GuestName(id UserID, locale string) string {
	v := mix(uint64(id))
	if chinese(locale) {
		return zhAdjectives[v>>58] + zhNouns[v>>52&63]
	}
	return enAdjectives[v>>58] + " " + enNouns[v>>52&63]
}

func chinese(locale string) bool {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(locale), "_", "-"), "-")
	return primary == "zh"
}

var enAdjectives = [64]string{
	"Amber", "Autumn", "Blue", "Bright", "Calm", "Celadon", "Clear", "Cloudy", "Copper", "Coral", "Crimson", "Curious",
	"Dawn", "Dewy", "Distant", "Drifting", "Early", "Evening", "Fair", "Floating", "Fragrant", "Gentle", "Gilded", "Golden",
	"Green", "Hazel", "Honest", "Indigo", "Ivory", "Jade", "Jolly", "Kind", "Lantern", "Lilac", "Lively", "Lucky",
	"Maple", "Mellow", "Merry", "Misty", "Moonlit", "Morning", "Mossy", "Nimble", "Olive", "Patient", "Pearl", "Plum",
	"Quiet", "Rainy", "Rosy", "Russet", "Serene", "Silver", "Smoky", "Snowy", "Spring", "Steady", "Sunny", "Tranquil",
	"Violet", "Warm", "Willow", "Winter",
}

var enNouns = [64]string{
	"Acorn", "Bamboo", "Bluebird", "Brook", "Bulbul", "Camellia", "Carp", "Cedar", "Cicada", "Cloud", "Crane", "Cricket",
	"Cuckoo", "Dove", "Dragonfly", "Egret", "Falcon", "Fern", "Finch", "Firefly", "Fox", "Gull", "Hare", "Heron",
	"Hill", "Hoopoe", "Iris", "Jasmine", "Kestrel", "Kettle", "Kingfisher", "Kite", "Lake", "Lark", "Leaf", "Lotus",
	"Magpie", "Martin", "Meadow", "Mountain", "Nightingale", "Oolong", "Orchid", "Oriole", "Otter", "Owl", "Panda", "Peach",
	"Peony", "Pheasant", "Pine", "Plover", "River", "Robin", "Sparrow", "Starling", "Stone", "Swallow", "Swan", "Teacup",
	"Teapot", "Thrush", "Wagtail", "Wren",
}

var zhAdjectives = [64]string{
	"静谧", "悠然", "温润", "清雅", "淡泊", "从容", "安然", "明澈", "素心", "清朗", "恬静", "闲适",
	"和煦", "轻盈", "灵动", "朴素", "青翠", "碧绿", "金色", "银色", "月下", "晨曦", "晚霞", "春日",
	"夏夜", "秋水", "冬雪", "山间", "林中", "溪畔", "湖心", "云端", "雨后", "雪中", "风中", "花间",
	"竹下", "松间", "茶香", "墨香", "烟雨", "清风", "明月", "朝露", "星夜", "暖阳", "微光", "远山",
	"江南", "塞外", "巷口", "檐下", "窗前", "灯下", "快乐", "聪慧", "好奇", "勇敢", "真诚", "耐心",
	"幸运", "逍遥", "古朴", "可爱",
}

var zhNouns = [64]string{
	"白鹭", "仙鹤", "喜鹊", "燕子", "黄鹂", "翠鸟", "云雀", "画眉", "杜鹃", "夜莺", "百灵", "鸳鸯",
	"鸿雁", "鹧鸪", "麻雀", "戴胜", "天鹅", "海鸥", "苍鹰", "锦鲤", "蜻蜓", "萤火", "蝴蝶", "蟋蟀",
	"小鹿", "松鼠", "白兔", "狐狸", "熊猫", "水獭", "刺猬", "山猫", "茶壶", "茶盏", "茶叶", "龙井",
	"乌龙", "普洱", "毛峰", "银针", "碧螺", "茉莉", "兰花", "荷花", "梅花", "桂花", "菊花", "牡丹",
	"海棠", "山茶", "翠竹", "青松", "银杏", "红枫", "垂柳", "梧桐", "青石", "流水", "小桥", "清泉",
	"白云", "远帆", "纸鸢", "灯笼",
}
