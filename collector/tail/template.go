package tail

import "strings"

// template is a log line with what varies from one repeat to the next taken out:
// numbers, hexadecimal ids and UUIDs become "#". Lines of one template are the same
// message.
func template(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		if isUUID(s[i:]) {
			b.WriteByte('#')
			i += 36
			continue
		}
		if !alnum(s[i]) {
			b.WriteByte(s[i])
			i++
			continue
		}
		end := i
		for end < len(s) && alnum(s[end]) {
			end++
		}
		maskWord(&b, s[i:end])
		i = end
	}
	return b.String()
}

// maskWord writes one run of letters and digits.
func maskWord(b *strings.Builder, w string) {
	bare := strings.TrimPrefix(strings.TrimPrefix(w, "0x"), "0X")
	hasDigit := digits(w) > 0
	switch {
	case hasDigit && len(bare) >= 4 && isHex(bare), len(w) >= 16 && isHex(w):
		b.WriteByte('#')
	case !hasDigit:
		b.WriteString(w)
	default:
		inDigits := false
		for i := range len(w) {
			digit := w[i] >= '0' && w[i] <= '9'
			if digit && !inDigits {
				b.WriteByte('#')
			} else if !digit {
				b.WriteByte(w[i])
			}
			inDigits = digit
		}
	}
}

func isUUID(s string) bool {
	if len(s) < 36 || len(s) > 36 && alnum(s[36]) {
		return false
	}
	for i := range 36 {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i : i+1]) {
			return false
		}
	}
	return true
}

func isHex(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (s[i] < '0' || s[i] > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
