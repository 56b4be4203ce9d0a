// Package ringpicture draws a chord ring as its nodes see it: [Text] for a terminal,
// and [SVG] with the fingers of one node. Place 0 is at the top, and places grow
// clockwise:
//
//	       0
//	   ·⣀⡠⠤●⠤⢄⣀· 1 (2 keys)
//	 ⡠⠊         ⠑● 35
//	⡎             ⢱
//
// Both are functions of what chord.Admin.Ring returns, and of nothing else.
package ringpicture
