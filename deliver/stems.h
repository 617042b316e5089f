/* stems.h - the stem: the process that attempts are cloned from, started when there is none
 *
 * Runs in heloise-deliver. */
#ifndef DELIVER_STEMS_H
#define DELIVER_STEMS_H

/* the state directory, for what stems read; stays the caller's */
void stems_state(int dirfd);
/* starts one, so that the first attempt need not wait for it */
void stems_begin(void);
/* has a child born that speaks on this LOW end of a REPORT channel: by which stem, which is a number;
 * 0 with errno when there is none. Of the end of one jobs_stem_gone() is told. */
unsigned int stems_birth(int report);
/* other tables are in force */
void stems_table(void);
/* a process of this stem's died as none should: soon, but at most once a minute, another one
 * takes its place, whose memory lies elsewhere */
void stems_renew(void);

#endif
