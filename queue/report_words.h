/* report_words.h - the part of a report that is for people */
#ifndef QUEUE_REPORT_WORDS_H
#define QUEUE_REPORT_WORDS_H

#include "queue/letter.h"
#include "queue/report.h"

const char *report_words_subject(const struct report *r);
/* the text, without the header of its part */
void report_words(struct letter *l, const struct report *r);

#endif
