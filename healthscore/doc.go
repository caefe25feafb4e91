// Package healthscore turns signals of one venue node into a score of 0 to 100
// that explains itself: 100 less the penalties of its contributors, then held
// down by hard caps. A signal that is missing or old is unknown and listed as
// such; it is never taken for healthy, and without the essential ones there is no
// score at all. The package does no I/O and reads no clock.
package healthscore
