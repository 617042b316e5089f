/* notes.h - what an attempt notices about a peer besides what the ladder's rows say
 *
 * Each looks at the session's reply, and learns or forgets a fact by it. LADDER.md B1, B11, B12,
 * E22, E30, X5, D17. */
#ifndef DELIVER_NOTES_H
#define DELIVER_NOTES_H

#include "deliver/client.h"

/* keeps what was seen, in words: the evidence of what is learned from it */
void notes_lesson(struct session *s, enum ladder_rung rung, enum saw saw);
/* lines that are no replies: no batches from here on */
void notes_garbage(struct session *s, enum ladder_rung rung);
/* a starred banner */
void notes_stars(struct session *s);
/* how long the banner took, in ms */
void notes_time(struct session *s, uint64_t took);
/* a refusal of EHLO that shows it was overwritten on its way */
void notes_filter(struct session *s);

#endif
