package profile

import "strings"

// languages has the codes of ISO 639-1, two letters each, ascending.
const languages = "aaabaeafakamanarasavayazbabebgbhbibmbnbobrbscacechcocrcscucvcydadedvdzeeeleneoeseteufafffifjfofrfygagdgl" +
	"gngugvhahehihohrhthuhyhziaidieigiiikioisitiujajvkakgkikjkkklkmknkokrkskukvkwkylalblglilnloltlulvmgmhmimkmlmnmrmsmtmy" +
	"nanbndnengnlnnnonrnvnyocojomorospapiplpsptqurmrnrorurwsascsdsesgsiskslsmsnsosqsrssstsusvswtatetgthtitktltntotrtstttwty" +
	"ugukuruzvevivowawoxhyiyozazhzu"

// languageOf maps a code, base 26, to its place in languages plus one; 0: no such language.
var languageOf [26 * 26]uint16

func init() {
	for i := 0; i < len(languages); i += 2 {
		languageOf[int(languages[i]-'a')*26+int(languages[i+1]-'a')] = uint16(i + 1)
	}
	for old, now := range map[string]string{"iw": "he", "in": "id", "ji": "yi"} { // browsers still send them
		languageOf[int(old[0]-'a')*26+int(old[1]-'a')] = languageOf[int(now[0]-'a')*26+int(now[1]-'a')]
	}
}

// maxLanguages bounds the languages of a header that are read.
const maxLanguages = 16

// readLanguage returns the language that an Accept-Language header, or a single tag, prefers: the one of the highest
// quality, the first of equals. It is Other if that is none of ISO 639-1.
func readLanguage(text string) string {
	text = strings.Trim(text[:min(len(text), MaxText)], " \t")
	if text == "" {
		return ""
	}
	best, bestQuality := Other, 0
	for range maxLanguages {
		item, rest, more := strings.Cut(text, ",")
		tag, parameter, _ := strings.Cut(item, ";")
		if q := quality(parameter); q > bestQuality {
			best, bestQuality = language(strings.Trim(tag, " \t")), q
		}
		if !more {
			break
		}
		text = rest
	}
	return best
}

// language returns the primary language of a tag such as "de-AT" or "pt_BR".
func language(tag string) string {
	if len(tag) < 2 || len(tag) > 2 && tag[2] != '-' && tag[2] != '_' {
		return Other
	}
	a, b := tag[0]|0x20, tag[1]|0x20
	if a < 'a' || a > 'z' || b < 'a' || b > 'z' {
		return Other
	}
	at := int(languageOf[int(a-'a')*26+int(b-'a')])
	if at == 0 {
		return Other
	}
	return languages[at-1 : at+1]
}

// quality reads "q=0.8" in thousandths: 1,000 if there is none, 0 if it is malformed.
func quality(text string) int {
	text = strings.Trim(text, " \t")
	if text == "" {
		return 1000
	}
	name, number, _ := strings.Cut(text, "=")
	number = strings.Trim(number, " \t")
	if !equal(strings.Trim(name, " \t"), "q") || number == "" || len(number) > 5 || number[0] != '0' && number[0] != '1' {
		return 0
	}
	q, unit := int(number[0]-'0')*1000, 100
	for i := 1; i < len(number); i++ {
		c := number[i]
		if i == 1 && c == '.' {
			continue
		}
		if i == 1 || c < '0' || c > '9' {
			return 0
		}
		q += int(c-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return 0
	}
	return q
}
