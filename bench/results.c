/* SPDX-License-Identifier: MIT */
/* What was measured: a table, JSON, and points for the plots. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "measure.h"

#define MOST 2048

static struct {
	const char *name;
	const char *unit;
	double ours;
	double raw;
	double limit;
	bool at_least;
} figures[MOST];
static unsigned figure_count;

static struct {
	const char *curve;
	double x;
	double y;
} points[MOST];
static unsigned point_count;

static bool is_silent;

void results_talk(bool talk)
{
	is_silent = !talk;
}

static struct row rows[MOST];
static unsigned row_count;

static double ratio_of(unsigned i)
{
	return figures[i].raw > 0 ? figures[i].ours / figures[i].raw : 0;
}

static bool is_met(unsigned i)
{
	return figures[i].at_least ? ratio_of(i) >= figures[i].limit : ratio_of(i) <= figures[i].limit;
}

void figure(const char *name, const char *unit, double ours, double raw, double limit, bool at_least)
{
	if (figure_count == MOST)
		return;
	figures[figure_count].name = name;
	figures[figure_count].unit = unit;
	figures[figure_count].ours = ours;
	figures[figure_count].raw = raw;
	figures[figure_count].limit = limit;
	figures[figure_count].at_least = at_least;
	figure_count++;
	if (!is_silent)
		fprintf(stderr, "  %s: %.4g\n", name, ratio_of(figure_count - 1));
}

void row_tell(const struct row *row)
{
	if (row_count == MOST)
		return;
	rows[row_count++] = *row;
	if (!is_silent)
		fprintf(stderr, "  %s of %.0f MiB, %s, %s: longest write %.1f us, %.1f ms\n", row->noun, row->mib, row->way,
			row->rate, row->stall_us, row->time_ms);
}

void point(const char *curve, double x, double y)
{
	if (point_count == MOST)
		return;
	points[point_count].curve = curve;
	points[point_count].x = x;
	points[point_count].y = y;
	point_count++;
}

static bool is_new_block(unsigned i)
{
	const struct row *row = &rows[i], *before = row - 1;

	return !i || row->mib != before->mib || strcmp(row->noun, before->noun) != 0 ||
	       strcmp(row->pages, before->pages) != 0 || strcmp(row->order, before->order) != 0 ||
	       strcmp(row->destination, before->destination) != 0;
}

static void print_rows(void)
{
	for (unsigned i = 0; i < row_count; i++) {
		const struct row *row = &rows[i];

		if (is_new_block(i))
			printf("%s%s OF %.0f MiB, pages of %s, %s writes, %s destination (medians)\n%-44s %-15s %12s %10s %12s %10s %10s\n",
			       i ? "\n" : "", row->noun[0] == 'c' ? "COPY" : "MOVE", row->mib, row->pages, row->order,
			       row->destination, "WAY", "RATE", "LONGEST, us", "P99.9, us", "WRITES/s", "TIME, ms",
			       "MEMORY, MiB");
		printf("%-44s %-15s %12.1f %10.2f %12.0f %10.1f %11.1f\n", row->way, row->rate, row->stall_us, row->p999_us,
		       row->per_second, row->time_ms, row->extra_mib);
	}
	if (row_count)
		printf("\n");
}

static void print_figures(void)
{
	printf("%-68s %12s %12s %-5s %8s  %s\n", "FIGURE (medians)", "OURS", "RAW", "UNIT", "RATIO", "TARGET");
	for (unsigned i = 0; i < figure_count; i++)
		printf("%-68s %12.2f %12.2f %-5s %8.4f  %s %g: %s\n", figures[i].name, figures[i].ours, figures[i].raw,
		       figures[i].unit, ratio_of(i), figures[i].at_least ? "at least" : "at most", figures[i].limit,
		       is_met(i) ? "met" : "MISSED");
}

void results_print(void)
{
	print_rows();
	print_figures();
}

static FILE *create(const char *folder, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	must_errno(file, path);
	return file;
}

static void write_figures(FILE *file)
{
	for (unsigned i = 0; i < figure_count; i++)
		fprintf(file,
			"    { \"name\": \"%s\", \"unit\": \"%s\", \"ours\": %.3f, \"raw\": %.3f, \"ratio\": %.5f, \"target\": %g, "
			"\"met\": %s }%s\n",
			figures[i].name, figures[i].unit, figures[i].ours, figures[i].raw, ratio_of(i), figures[i].limit,
			is_met(i) ? "true" : "false", i + 1 < figure_count ? "," : "");
}

static void write_rows(FILE *file)
{
	for (unsigned i = 0; i < row_count; i++) {
		const struct row *row = &rows[i];

		fprintf(file,
			"    { \"what\": \"%s\", \"mib\": %g, \"pages\": \"%s\", \"writes\": \"%s\", \"destination\": \"%s\", "
			"\"way\": \"%s\", \"rate\": \"%s\", \"longest_us\": %.3f, \"p999_us\": %.3f, \"writes_per_second\": %.0f, "
			"\"time_ms\": %.3f, \"extra_mib\": %.1f }%s\n",
			row->noun, row->mib, row->pages, row->order, row->destination, row->way, row->rate, row->stall_us,
			row->p999_us, row->per_second, row->time_ms, row->extra_mib, i + 1 < row_count ? "," : "");
	}
}

static void write_json(FILE *file)
{
	struct utsname system;

	uname(&system);
	fprintf(file, "{\n  \"kernel\": \"%s\",\n  \"machine\": \"%s, %ld processors, %.1f GiB\",\n  \"figures\": [\n",
		system.release, system.machine, sysconf(_SC_NPROCESSORS_ONLN),
		(double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30));
	write_figures(file);
	fprintf(file, "  ],\n  \"copies_and_moves\": [\n");
	write_rows(file);
	fprintf(file, "  ],\n  \"points\": [\n");
	for (unsigned i = 0; i < point_count; i++)
		fprintf(file, "    { \"curve\": \"%s\", \"x\": %g, \"y\": %.6g }%s\n", points[i].curve, points[i].x,
			points[i].y, i + 1 < point_count ? "," : "");
	fprintf(file, "  ]\n}\n");
}

void results_print_json(void)
{
	write_json(stdout);
}

/* One file a curve: two columns, as gnuplot takes them. */
static void write_curve(const char *folder, const char *curve)
{
	char name[128];
	FILE *file;

	snprintf(name, sizeof(name), "%s.dat", curve);
	file = create(folder, name);
	for (unsigned i = 0; i < point_count; i++)
		if (strcmp(points[i].curve, curve) == 0)
			fprintf(file, "%g %.6g\n", points[i].x, points[i].y);
	fclose(file);
}

static bool is_first_of_curve(unsigned i)
{
	for (unsigned j = 0; j < i; j++)
		if (strcmp(points[j].curve, points[i].curve) == 0)
			return false;
	return true;
}

void results_write(const char *folder)
{
	FILE *file = create(folder, "results.json");

	write_json(file);
	fclose(file);
	for (unsigned i = 0; i < point_count; i++)
		if (is_first_of_curve(i))
			write_curve(folder, points[i].curve);
}
