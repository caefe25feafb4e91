// Package report tells what an event came to: whether it sold, what broke, what
// the nodes healed by themselves, how long each venue was dark and what landed
// afterwards, and what to change next time.
//
// It guarantees that a report is computed from the books each time it is asked
// for, so that late data is in it at once; that it says prominently what is still
// awaited; and that each piece of advice follows from a fact it names. It never
// estimates a sale.
package report
