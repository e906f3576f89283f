// Appended to a report or a comparison by report.sh: whatever is wrong with the page becomes a console error.
addEventListener('load', () => {
    const wrong = (...words) => console.error('report:', ...words);
    const charts = [...document.querySelectorAll('svg.chart')];
    for (const chart of charts) {
        const name = chart.getAttribute('aria-label');
        const lines = [...chart.querySelectorAll('polyline')].map(line => line.getBBox());
        if (!lines.some(box => box.width > 100)) wrong(name, 'has no line');
        const frame = chart.getBoundingClientRect();
        if (frame.width < 200 || frame.height < 100) wrong(name, 'is too small', frame.width, frame.height);
        for (const text of chart.querySelectorAll('text')) {
            const box = text.getBoundingClientRect();
            if (box.left < frame.left - 1 || box.right > frame.right + 1) wrong(name, 'cuts', text.textContent);
        }
    }
    const comparison = document.title.includes('side by side');
    if (charts.length != (comparison ? 3 : 11)) wrong('there are', charts.length, 'charts');
    const beside = document.querySelectorAll('.beside img').length;
    if (beside != 2) wrong(beside, 'images are beside each other');
    for (const bar of document.querySelectorAll('.bar'))
        if (bar.getBoundingClientRect().height < 5) wrong('a bar of the profile cannot be seen');
    if (!comparison && document.querySelectorAll('.bar').length < 10) wrong('the profile is not there');
    for (const mark of document.querySelectorAll('.mark'))
        if (getComputedStyle(mark).backgroundColor == 'rgba(0, 0, 0, 0)') wrong('a mark has no colour');

    const grids = [...document.querySelectorAll('.grids figure')];
    const shown = () => grids.filter(grid => getComputedStyle(grid).display != 'none');
    if (!comparison) {
        if (grids.length < 2 || shown().length != 1) wrong(shown().length, 'of', grids.length, 'grids are shown');
        const slider = document.querySelector('.grids input');
        slider.value = 0;
        slider.dispatchEvent(new Event('input'));
        if (shown()[0] != grids[0] || shown().length != 1) wrong('the slider does not choose a grid');
        slider.value = slider.max;
        slider.dispatchEvent(new Event('input'));
    }
    for (const image of document.images)
        if (!image.complete || image.naturalWidth == 0) wrong('no image', image.alt);

    if (document.documentElement.scrollWidth > innerWidth) wrong('is wider than', innerWidth, 'pixels');
    console.log('looked at in', innerWidth, 'pixels');
});
