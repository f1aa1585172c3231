/* SPDX-License-Identifier: MIT */
/* What was measured: a table, JSON, and points for the plots. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "measure.h"

#define MOST 64

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
	fprintf(stderr, "  %s: %.4g\n", name, ratio_of(figure_count - 1));
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

static void print_table(void)
{
	printf("%-58s %12s %12s %-5s %8s  %s\n", "FIGURE (medians)", "OURS", "RAW", "UNIT", "RATIO", "TARGET");
	for (unsigned i = 0; i < figure_count; i++)
		printf("%-58s %12.2f %12.2f %-5s %8.4f  %s %g: %s\n", figures[i].name, figures[i].ours, figures[i].raw,
		       figures[i].unit, ratio_of(i), figures[i].at_least ? "at least" : "at most", figures[i].limit,
		       is_met(i) ? "met" : "MISSED");
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

static void write_json(const char *folder)
{
	FILE *file = create(folder, "results.json");
	struct utsname system;

	uname(&system);
	fprintf(file, "{\n  \"kernel\": \"%s\",\n  \"machine\": \"%s, %ld processors, %.1f GiB\",\n  \"figures\": [\n",
		system.release, system.machine, sysconf(_SC_NPROCESSORS_ONLN),
		(double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30));
	for (unsigned i = 0; i < figure_count; i++)
		fprintf(file,
			"    { \"name\": \"%s\", \"unit\": \"%s\", \"ours\": %.3f, \"raw\": %.3f, \"ratio\": %.5f, \"target\": %g, "
			"\"met\": %s }%s\n",
			figures[i].name, figures[i].unit, figures[i].ours, figures[i].raw, ratio_of(i), figures[i].limit,
			is_met(i) ? "true" : "false", i + 1 < figure_count ? "," : "");
	fprintf(file, "  ],\n  \"points\": [\n");
	for (unsigned i = 0; i < point_count; i++)
		fprintf(file, "    { \"curve\": \"%s\", \"x\": %g, \"y\": %.3f }%s\n", points[i].curve, points[i].x,
			points[i].y, i + 1 < point_count ? "," : "");
	fprintf(file, "  ]\n}\n");
	fclose(file);
}

/* One file a curve: two columns, as gnuplot takes them. */
static void write_points(const char *folder)
{
	for (unsigned i = 0; i < point_count; i++) {
		char name[128];
		FILE *file;

		if (i && strcmp(points[i].curve, points[i - 1].curve) == 0)
			continue;
		snprintf(name, sizeof(name), "%s.dat", points[i].curve);
		file = create(folder, name);
		for (unsigned j = i; j < point_count && strcmp(points[j].curve, points[i].curve) == 0; j++)
			fprintf(file, "%g %.3f\n", points[j].x, points[j].y);
		fclose(file);
	}
}

void results(const char *folder)
{
	print_table();
	write_json(folder);
	write_points(folder);
}
