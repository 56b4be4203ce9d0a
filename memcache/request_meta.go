package memcache

import "math"

var (
	errDuplicateFlag = &RequestError{"CLIENT_ERROR duplicate flag"}
	errInvalidFlag   = &RequestError{"CLIENT_ERROR invalid flag"}
	errFlag          = &RequestError{"CLIENT_ERROR invalid or duplicate flag"}
	errToken         = &RequestError{"CLIENT_ERROR bad token in command line format"}
	errDecodeKey     = &RequestError{"CLIENT_ERROR error decoding key"}
	errModeLength    = &RequestError{"CLIENT_ERROR incorrect length for M token"}
	errSetMode       = &RequestError{"CLIENT_ERROR invalid mode for ms M token"}
	errIncrMode      = &RequestError{"CLIENT_ERROR invalid mode for ma M token"}
	errInitial       = &RequestError{"CLIENT_ERROR invalid numeric initial value"}
	errMetaDelta     = &RequestError{"CLIENT_ERROR invalid numeric delta value"}
	errOpaque        = &RequestError{"CLIENT_ERROR opaque token too long"}
	errManyGetFlags  = &RequestError{"CLIENT_ERROR options flags are too long"}
	errManyFlags     = &RequestError{"CLIENT_ERROR options flags too long"}
)

// setMetaKey takes the key of a meta command as it came.
func (r *Request) setMetaKey(f [][]byte, tooMany error) error {
	r.form = formMeta
	if len(f[1]) > MaxKeyLen {
		return errFormat
	}
	if len(f) > maxMetaFields {
		return tooMany
	}
	r.Key = f[1]
	return nil
}

// parseFlags takes the flags of a meta command. Any command may have any flag:
// what means nothing to it is passed over. Of several wrong flags the last is
// the one that memcached complains about, except that an unknown one or a second
// of its kind ends the search. mode is the M flag's letter, or 0.
func (r *Request) parseFlags(tokens [][]byte) (mode byte, err error) {
	var seen [127]bool
	for _, token := range tokens {
		flag, arg := token[0], token[1:]
		if flag >= 127 || seen[flag] {
			return 0, errDuplicateFlag
		}
		seen[flag] = true
		r.tokens = append(r.tokens, token)
		ok, complaint := true, errToken
		switch flag {
		case 'O', 'L', 'k', 's', 't', 'c', 'f', 'h', 'l':
		case 'P':
			r.Redirect = true
		case 'b':
			r.Key, ok = decodeBase64(r.keyBuf[:0], r.Key)
			r.BinaryKey, complaint = true, errDecodeKey
		case 'v':
			r.form = formMetaValue
		case 'u':
			r.NoBump = true
		case 'q':
			r.Noreply = true
		case 'I':
			r.Invalidate = true
		case 'N':
			r.Vivify = true
			r.VivifyExptime, ok = cInt32(arg)
		case 'T':
			r.Touch = true
			r.Exptime, ok = cInt32(arg)
		case 'R':
			r.Recache = true
			r.RecacheExptime, ok = cInt32(arg)
		case 'F':
			r.Flags, ok = cUint32(arg)
			complaint = nil // has no words of its own
		case 'C':
			r.HasCAS = true
			r.CAS, ok = cUint64(arg)
		case 'M':
			if ok = len(arg) == 1; ok {
				mode = arg[0]
			}
			complaint = errModeLength
		case 'J':
			r.Initial, ok = cUint64(arg)
			complaint = errInitial
		case 'D':
			r.Delta, ok = cUint64(arg)
			complaint = errMetaDelta
		default:
			return 0, errInvalidFlag
		}
		switch {
		case ok:
		case complaint != nil:
			err = complaint
		case err == nil:
			err = errFormat
		}
	}
	return mode, err
}

func (r *Request) checkOpaque() error {
	for _, token := range r.tokens {
		if token[0] == 'O' && len(token) > maxOpaque {
			return r.failed(errOpaque)
		}
	}
	return nil
}

// failed makes an error of a meta command loud, whatever its q flag says.
func (r *Request) failed(err error) error {
	r.Noreply = false
	return err
}

func parseMetaGet(r *Request, f [][]byte) error {
	if err := r.setMetaKey(f, errManyGetFlags); err != nil {
		return err
	}
	r.Op = OpGet
	if _, err := r.parseFlags(f[2:]); err != nil {
		return r.failed(err)
	}
	r.Keys = append(r.Keys, r.Key)
	return r.checkOpaque()
}

func parseMetaSet(r *Request, f [][]byte) error {
	if len(f[1]) <= MaxKeyLen && len(f) < 3 {
		return errFormat
	}
	if err := r.setMetaKey(f, errManyFlags); err != nil {
		return err
	}
	n, ok := cInt32(f[2])
	if !ok || n < 0 || n > math.MaxInt32-2 {
		return errFormat
	}
	r.Op, r.dataLen = OpSet, int(n)
	mode, err := r.parseFlags(f[3:])
	if err != nil {
		return r.failed(err)
	}
	switch mode {
	case 0, 'S':
		r.Mode = ModeSet
	case 'E':
		r.Mode = ModeAdd
	case 'A':
		r.Mode = ModeAppend
	case 'P':
		r.Mode = ModePrepend
	case 'R':
		r.Mode = ModeReplace
	default:
		return r.failed(errSetMode)
	}
	if r.HasCAS && (r.Mode == ModeSet || r.Mode == ModeReplace) {
		r.Mode = ModeCAS
	}
	return r.checkOpaque()
}

func parseMetaDelete(r *Request, f [][]byte) error {
	if err := r.setMetaKey(f, errManyFlags); err != nil {
		return err
	}
	r.Op = OpDelete
	if _, err := r.parseFlags(f[2:]); err != nil {
		return r.failed(errFlag)
	}
	return r.checkOpaque()
}

func parseMetaArithmetic(r *Request, f [][]byte) error {
	if err := r.setMetaKey(f, errManyFlags); err != nil {
		return err
	}
	r.Op, r.Delta = OpIncr, 1
	mode, err := r.parseFlags(f[2:])
	if err != nil {
		return r.failed(errFlag)
	}
	switch mode {
	case 0, 'I', '+':
	case 'D', '-':
		r.Decr = true
	default:
		return r.failed(errIncrMode)
	}
	return r.checkOpaque()
}

// parseMetaInspect looks at no flag but a b in the first place.
func parseMetaInspect(r *Request, f [][]byte) error {
	if len(f) < 2 || len(f[1]) > MaxKeyLen {
		return errFormat
	}
	r.Op, r.form, r.Key = OpInspect, formMeta, f[1]
	if len(f) > 2 && string(f[2]) == "b" {
		var ok bool
		if r.Key, ok = decodeBase64(r.keyBuf[:0], r.Key); !ok {
			return errFormat
		}
		r.BinaryKey = true
	}
	return nil
}
