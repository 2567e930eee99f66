//go:build !planted_resume_off_by_one

package planted

// ResumeOffByOne resumes behind the first message that is missing.
const ResumeOffByOne = false
