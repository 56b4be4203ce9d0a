package jsonform

import "github.com/torc-dht/torc"

// Progress is the form of a torc.Progress, with times in seconds.
type Progress struct {
	Pass    int     `json:"pass"`
	Looked  uint64  `json:"looked"`
	Copied  uint64  `json:"copied"`
	Removed uint64  `json:"removed"`
	Bytes   uint64  `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// ProgressOf returns p's form.
func ProgressOf(p torc.Progress) Progress {
	return Progress{p.Pass, p.Looked, p.Copied, p.Removed, p.Bytes, p.Elapsed.Seconds()}
}

// Survey is the form of a torc.Survey.
type Survey struct {
	torc.Survey
	Members []MemberSurvey `json:"members"`
}

// MemberSurvey is the form of a torc.MemberSurvey, with the text of its error.
type MemberSurvey struct {
	torc.MemberSurvey
	Error string `json:"error,omitempty"`
}

// SurveyOf returns s's form.
func SurveyOf(s torc.Survey) Survey {
	form := Survey{Survey: s, Members: make([]MemberSurvey, len(s.Members))}
	for i, m := range s.Members {
		form.Members[i].MemberSurvey = m
		if m.Err != nil {
			form.Members[i].Error = m.Err.Error()
		}
	}
	return form
}
