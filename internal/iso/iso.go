// Package iso converts ISO 3166-1 country codes, so that internal/openrtb and internal/features normalise them alike.
package iso

// table has every country as alpha-3 followed by alpha-2, in order of alpha-3.
const table = "" +
	"ABWAWAFGAFAGOAOAIAAIALAAXALBALANDADAREAEARGARARMAMASMASATAAQATFTFATGAGAUSAUAUTATAZEAZBDIBIBELBEBENBJ" +
	"BESBQBFABFBGDBDBGRBGBHRBHBHSBSBIHBABLMBLBLRBYBLZBZBMUBMBOLBOBRABRBRBBBBRNBNBTNBTBVTBVBWABWCAFCFCANCA" +
	"CCKCCCHECHCHLCLCHNCNCIVCICMRCMCODCDCOGCGCOKCKCOLCOCOMKMCPVCVCRICRCUBCUCUWCWCXRCXCYMKYCYPCYCZECZDEUDE" +
	"DJIDJDMADMDNKDKDOMDODZADZECUECEGYEGERIERESHEHESPESESTEEETHETFINFIFJIFJFLKFKFRAFRFROFOFSMFMGABGAGBRGB" +
	"GEOGEGGYGGGHAGHGIBGIGINGNGLPGPGMBGMGNBGWGNQGQGRCGRGRDGDGRLGLGTMGTGUFGFGUMGUGUYGYHKGHKHMDHMHNDHNHRVHR" +
	"HTIHTHUNHUIDNIDIMNIMINDINIOTIOIRLIEIRNIRIRQIQISLISISRILITAITJAMJMJEYJEJORJOJPNJPKAZKZKENKEKGZKGKHMKH" +
	"KIRKIKNAKNKORKRKWTKWLAOLALBNLBLBRLRLBYLYLCALCLIELILKALKLSOLSLTULTLUXLULVALVMACMOMAFMFMARMAMCOMCMDAMD" +
	"MDGMGMDVMVMEXMXMHLMHMKDMKMLIMLMLTMTMMRMMMNEMEMNGMNMNPMPMOZMZMRTMRMSRMSMTQMQMUSMUMWIMWMYSMYMYTYTNAMNA" +
	"NCLNCNERNENFKNFNGANGNICNINIUNUNLDNLNORNONPLNPNRUNRNZLNZOMNOMPAKPKPANPAPCNPNPERPEPHLPHPLWPWPNGPGPOLPL" +
	"PRIPRPRKKPPRTPTPRYPYPSEPSPYFPFQATQAREUREROURORUSRURWARWSAUSASDNSDSENSNSGPSGSGSGSSHNSHSJMSJSLBSBSLESL" +
	"SLVSVSMRSMSOMSOSPMPMSRBRSSSDSSSTPSTSURSRSVKSKSVNSISWESESWZSZSXMSXSYCSCSYRSYTCATCTCDTDTGOTGTHATHTJKTJ" +
	"TKLTKTKMTMTLSTLTONTOTTOTTTUNTNTURTRTUVTVTWNTWTZATZUGAUGUKRUAUMIUMURYUYUSAUSUZBUZVATVAVCTVCVENVEVGBVG" +
	"VIRVIVNMVNVUTVUWLFWFWSMWSYEMYEZAFZAZMBZMZWEZW" +
	""

// byAlpha3 and byAlpha2 map a packed code (base 26) to 1 + the country's index in table; 0: no such country.
var (
	byAlpha3 [26 * 26 * 26]uint8
	byAlpha2 [26 * 26]uint8
)

func init() {
	for i := range len(table) / 5 {
		c := table[i*5 : i*5+5]
		byAlpha3[pack(c[:3])] = uint8(i + 1)
		byAlpha2[pack(c[3:])] = uint8(i + 1)
	}
}

// Alpha2 returns the upper-case alpha-2 code of a country given as alpha-2 or alpha-3 in any case, and "" for anything
// else. "UK" and "EL" are not ISO codes, but requests have them: they become GB and GR. It does not allocate.
func Alpha2(code string) string {
	var i uint8
	switch len(code) {
	case 2:
		if n := pack(code); n >= 0 {
			i = byAlpha2[n]
			switch {
			case i != 0:
			case n == pack("UK"):
				i = byAlpha3[pack("GBR")]
			case n == pack("EL"):
				i = byAlpha3[pack("GRC")]
			}
		}
	case 3:
		if n := pack(code); n >= 0 {
			i = byAlpha3[n]
		}
	}
	if i == 0 {
		return ""
	}
	at := int(i-1) * 5
	return table[at+3 : at+5]
}

// Alpha3 returns the alpha-3 code of a country given as for Alpha2, and "" for anything else.
func Alpha3(code string) string {
	two := Alpha2(code)
	if two == "" {
		return ""
	}
	at := int(byAlpha2[pack(two)]-1) * 5
	return table[at : at+3]
}

// pack reads letters of any case as digits of base 26; −1 if one is not a letter.
func pack(code string) int {
	n := 0
	for i := range len(code) {
		c := code[i] | 0x20
		if c < 'a' || c > 'z' {
			return -1
		}
		n = n*26 + int(c-'a')
	}
	return n
}
